# When all packages are configured: the layout that an ostree deployment has, and no trace of the build.
root=$1
cd "$root"

# The kernel and its initramfs live beside the modules; /boot belongs to the machine.
set -- usr/lib/modules/*
[ $# -eq 1 ] || {
    echo "expected one kernel, found: $*" >&2
    exit 1
}
kver=${1##*/}
[ -e "$1/vmlinuz" ] || mv "boot/vmlinuz-$kver" "$1/vmlinuz"
chroot . dracut --force --kver "$kver" "/usr/lib/modules/$kver/initramfs.img"
chroot . lsinitrd "/usr/lib/modules/$kver/initramfs.img" | grep -q ostree-prepare-root
find boot -mindepth 1 -delete
rm -f vmlinuz vmlinuz.old initrd.img initrd.img.old

# Package databases describe /usr, so they travel with it.
tmpfiles=usr/lib/tmpfiles.d/ostree-image.conf
covered=$(cat usr/lib/tmpfiles.d/*.conf | awk '/^[a-zA-Z]/ { print $2 }')
: >"$tmpfiles"
mkdir -p usr/lib/sysimage/apt
for name in dpkg pam; do
    [ -d "var/lib/$name" ] || continue
    mv "var/lib/$name" "usr/lib/sysimage/$name"
    ln -s "../../usr/lib/sysimage/$name" "var/lib/$name"
    echo "L /var/lib/$name - - - - ../../usr/lib/sysimage/$name" >>"$tmpfiles"
done
# debconf keeps its database in a cache, of all places, which every commit empties.
mv var/cache/debconf usr/lib/sysimage/debconf
sed -i 's,/var/cache/debconf/,/usr/lib/sysimage/debconf/,' etc/debconf.conf
[ ! -e var/lib/apt/extended_states ] || mv var/lib/apt/extended_states usr/lib/sysimage/apt/
echo 'Dir::State::extended_states "/usr/lib/sysimage/apt/extended_states";' >etc/apt/apt.conf.d/10sysimage

# Leftovers of the build, and what each machine makes for itself.
rm -rf var/lib/systemd/* var/lib/dbus
rm -f var/cache/ldconfig/aux-cache usr/lib/sysimage/dpkg/*-old usr/lib/sysimage/debconf/*-old
rm -f etc/ssh/ssh_host_* etc/.pwd.lock
rm -f etc/passwd- etc/group- etc/shadow- etc/gshadow- etc/subuid- etc/subgid-
: >etc/machine-id
printf '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n' >etc/hosts
# The day of the build would change every image: shadow's dates are left empty.
sed -i 's/^\([^:]*:[^:]*\):[0-9]*:/\1::/' etc/shadow

# /var is made at boot: each directory that packages brought gets its line, with its owner, unless a
# package has one (which may say more, such as an age).
mkdir -p -m 700 var/lib/apt/lists/partial
chroot . chown _apt:root /var/lib/apt/lists/partial
chroot . find /var -xdev -mindepth 1 -type d -printf 'd %p %m %u %g - -\n' |
    COVERED=$covered awk 'BEGIN { split(ENVIRON["COVERED"], lines, "\n"); for (i in lines) has[lines[i]] = 1 }
        !($2 in has)' >>"$tmpfiles"

# The top level: state below /var, the rest below /usr.
chroot . find /usr/local -mindepth 1 -type d -printf 'd /var/usrlocal/%P %m %u %g - -\n' >>"$tmpfiles"
cat >>"$tmpfiles" <<'END'
d /var/home 755 root root - -
d /var/mnt 755 root root - -
d /var/opt 755 root root - -
d /var/roothome 700 root root - -
d /var/srv 755 root root - -
d /var/usrlocal 755 root root - -
d /run/media 755 root root - -
END
LC_ALL=C sort -u "$tmpfiles" -o "$tmpfiles"
rm -rf home root srv opt mnt media usr/local
ln -s var/home home
ln -s var/roothome root
ln -s var/srv srv
ln -s var/opt opt
ln -s var/mnt mnt
ln -s run/media media
ln -s ../var/usrlocal usr/local
ln -s sysroot/ostree ostree
mkdir -p sysroot
chmod 1777 tmp
# systemd's own lines for /home and /srv would replace the links.
mkdir -p etc/tmpfiles.d
ln -sf /dev/null etc/tmpfiles.d/home.conf

# What boot makes and what a commit empties is not in the image: its lines bring it back.
find run tmp var -mindepth 1 -delete
