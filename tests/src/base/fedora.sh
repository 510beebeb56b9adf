# After finish.sh: what makes a root of Debian's packages look like an image of Fedora's to those who derive from it.
# $dbpath is where the database of packages is, $FILES has what Debian lacks.
. "$FILES/fedora.conf"

# Debian's own package managers, their state and what boot would make of it.
for package in apt debconf debian-archive-keyring dpkg gpgv sqv; do
    for list in usr/lib/sysimage/dpkg/info/"$package".list usr/lib/sysimage/dpkg/info/"$package":*.list; do
        [ ! -e "$list" ] || while read -r path; do
            if [ -L "./$path" ] || [ ! -d "./$path" ]; then rm -f "./$path"; fi
        done <"$list"
    done
done
rm -rf usr/lib/sysimage/apt usr/lib/sysimage/debconf usr/lib/sysimage/dpkg etc/apt etc/dpkg etc/debconf.conf usr/lib/apt
sed -i '\,/var/lib/apt\|/var/lib/dpkg\|/var/cache/apt\|/var/cache/debconf\|/var/log/apt\|/var/backups,d' "$tmpfiles"
ln -sf bash usr/bin/sh
for name in dnf yum; do
    [ -e "usr/bin/$name" ] || ln -s "$dnf" "usr/bin/$name"
done

cat >usr/lib/os-release <<'END'
NAME="Fedora-shaped"
ID=fedora
VERSION_ID=43
PRETTY_NAME="Fedora-shaped image of Debian's packages"
END
# systemd takes this for a first boot, and an empty file for none.
echo uninitialized >etc/machine-id

# Accounts: all but two are read from below /usr.
cp "$FILES/libnss_altfiles.so" "$(echo usr/lib/*-linux-gnu)/libnss_altfiles.so.2"
sed -i 's/^\(passwd\|group\):.*/\1: files altfiles/' etc/nsswitch.conf
sed -i '/^\(_apt\|uucp\):/d' etc/passwd etc/group
cat >>etc/passwd <<'END'
chrony:x:998:990::/var/lib/chrony:/sbin/nologin
END
cat >>etc/group <<'END'
wheel:x:10:
chrony:x:990:
END
for file in passwd group; do
    sed '/^\(root\|wheel\):/d' "etc/$file" >"usr/lib/$file"
    sed -i '/^\(root\|wheel\):/!d' "etc/$file"
done
sed -i '/^root:/!d' etc/shadow
printf 'root:*::\nwheel:*::\n' >etc/gshadow
rm -f usr/lib/sysusers.d/basic.conf
{
    awk -F: '{ print "g", $1, $3 }' etc/group usr/lib/group
    awk -F: '{ print "u", $1, $3 ":" $4, "\"" $5 "\"", $6, $7 }' etc/passwd usr/lib/passwd
} >usr/lib/sysusers.d/20-setup.conf
sed -i '/^#\?SYS_[UG]ID_M/d' etc/login.defs
printf 'SYS_UID_MIN 201\nSYS_UID_MAX 999\nSYS_GID_MIN 201\nSYS_GID_MAX 999\n' >>etc/login.defs

# Nothing is enabled because it was installed.
echo 'disable *' >usr/lib/systemd/system-preset/99-default-disable.preset
chroot . find /etc/systemd/system -xtype l -delete
install -m 755 "$FILES/systemd-update-helper" usr/lib/systemd/

# alternatives(8) of chkconfig, with a record of the base's own.
install -m 755 "$FILES/alternatives" usr/bin/alternatives
ln -sf alternatives usr/bin/update-alternatives
mkdir -p etc/alternatives-admindir
chroot . alternatives --install /usr/bin/awk awk /usr/bin/mawk 20

# Kernels: kernel-install hands them to whoever lays out deployments.
mkdir -p etc/kernel usr/lib/kernel/install.d
echo 'layout=ostree' >etc/kernel/install.conf
install -m 755 "$FILES/05-rpmostree.install" usr/lib/kernel/install.d/

# The package manager and its database.
export TMPDIR=/tmp
mkdir -p "./$dbpath" etc/dnf var/tmp
sed -i '\,^d /var/lib/rpm ,d' "$tmpfiles"
cat >usr/lib/rpm/macros.d/macros.zz-fedora <<END
%_dbpath $dbpath
# Scriptlets get no mounts of their own: a build container may not make any.
%__transaction_unshare %{nil}
END
# A plugin that Fedora's images lack: it copies what was installed into a repository, with a program that is not there.
rm -f etc/dnf/libdnf5-plugins/local.conf
cat >etc/dnf/dnf.conf <<'END'
[main]
gpgcheck=0
install_weak_deps=False
END
chroot . rpm --initdb
cp "$FILES/fedora-base.spec" tmp/
chroot . rpmbuild -bb --quiet --define '_topdir /tmp/rpm' --define '_rpmfilename %{NAME}.rpm' /tmp/fedora-base.spec
chroot . rpm --install --justdb /tmp/rpm/RPMS/fedora-base.rpm
chroot . rpm --query fedora-base
echo "L /var/lib/rpm - - - - ../..$dbpath" >>"$tmpfiles"
if [ "$dbpath" = /usr/share/rpm ]; then
    mkdir -p usr/lib/sysimage/rpm-ostree-base-db
    ln usr/share/rpm/* usr/lib/sysimage/rpm-ostree-base-db/
fi
LC_ALL=C sort -u "$tmpfiles" -o "$tmpfiles"
find run tmp var -mindepth 1 -delete
