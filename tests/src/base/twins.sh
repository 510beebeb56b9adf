# Installs the same payload twice: by rpm below TREES/rpm and, packed anew, by dpkg below TREES/dpkg. Both know their
# packages below /usr/lib/sysimage. No script of a package runs: of the accounts, only staticd's is there.
# Arguments: REPOSITORY TREES PACKAGE…
set -eu
repository=$1 trees=$2
shift 2

for tree in rpm dpkg; do
    root=$trees/$tree
    mkdir -p "$root/etc" "$root/usr/bin" "$root/usr/lib/systemd/system" "$root/usr/lib/sysimage/$tree" "$root/var"
    ln -s usr/bin "$root/bin"
    cp /bin/sh /bin/cat "$root/usr/bin/"
    printf 'root:x:0:0::/root:/bin/sh\nstaticd:x:461:461::/:/bin/sh\n' >"$root/etc/passwd"
    printf 'root:x:0:\nadm:x:4:\nmail:x:8:\nstaticd:x:461:\n' >"$root/etc/group"
    echo 'ID=twin' >"$root/usr/lib/os-release"
    printf '[Unit]\nDescription=Boot\n' >"$root/usr/lib/systemd/system/multi-user.target"
    ln -s multi-user.target "$root/usr/lib/systemd/system/default.target"
done
database=/usr/lib/sysimage/rpm
admin=$trees/dpkg/usr/lib/sysimage/dpkg
mkdir "$admin/info" "$admin/updates"
: >"$admin/status"
rpm --root="$trees/rpm" --dbpath="$database" --initdb
for name; do
    file=$repository/$name-1.0.rpm
    rpm --root="$trees/rpm" --dbpath="$database" --install --nodeps --noscripts "$file"
    work=$trees/work
    rm -rf "$work"
    mkdir -p "$work/DEBIAN"
    rpm -q --queryformat '[%{FILENAMES}\n]' --package "$file" | while read -r path; do
        [ ! -e "$trees/rpm$path" ] || echo ".$path"
    done >"$trees/files"
    tar --create --directory="$trees/rpm" --no-recursion --files-from="$trees/files" | tar --extract --directory="$work"
    printf 'Package: %s\nVersion: 1.0\nArchitecture: all\nMaintainer: nobody\nDescription: a twin\n' "$name" >"$work/DEBIAN/control"
    rpm -q --queryformat '[%{FILEFLAGS:fflags} %{FILENAMES}\n]' --package "$file" |
        sed -n 's/^[^ ]*c[^ ]* //p' >"$work/DEBIAN/conffiles"
    # What makes accounts runs before an RPM is unpacked, and after a package of dpkg's is.
    { echo '#!/bin/sh'; rpm -q --queryformat '%|PREIN?{%{PREIN}\n}|%|POSTIN?{%{POSTIN}\n}|' --package "$file"; } >"$work/DEBIAN/postinst"
    chmod 755 "$work/DEBIAN/postinst"
    dpkg-deb --build --nocheck "$work" "$trees/twin.deb" >/dev/null
    dpkg --root="$trees/dpkg" --admindir="$admin" --force-all --unpack "$trees/twin.deb" >/dev/null
done
for tree in rpm dpkg; do
    wants=$trees/$tree/etc/systemd/system/multi-user.target.wants
    mkdir -p "$wants"
    for unit in "$trees/$tree"/usr/lib/systemd/system/*.service; do
        ln -s "${unit#"$trees/$tree"}" "$wants/"
    done
    # What a RUN takes away that cleans up too much.
    rm -rf "$trees/$tree"/var/* "$trees/$tree"/opt/*/data
done
