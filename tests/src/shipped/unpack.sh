# Unpacks packages into srv/shipped of the root and configures none: those of srv/packages.txt,
# and what they need and brings units or lines of sysusers.d or tmpfiles.d. Large files are cut: who
# looks there asks whether a program is there, and how it begins.
export LC_ALL=C
root=$1
tree=$root/srv/shipped
work=$root/srv/work
mkdir -p "$tree" "$work/debs"

private_apt() {
    command=$1
    shift
    contents=Acquire::IndexTargets::deb::Contents-deb
    APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get -o APT::Sandbox::User=root -o Acquire::Languages=none \
        -o "$contents::MetaKey=\$(COMPONENT)/Contents-\$(ARCHITECTURE)" \
        -o "$contents::ShortDescription=Contents" -o "$contents::Description=Contents" \
        "$command" "$@" >&2
}
private_apt update

sed 's/#.*//' "$root/srv/packages.txt" | grep . >"$work/wanted"
APT_CONFIG=$MMDEBSTRAP_APT_CONFIG xargs apt-cache depends --recurse --no-recommends --no-suggests \
    --no-conflicts --no-breaks --no-replaces --no-enhances <"$work/wanted" |
    grep '^[a-z]' | sort -u >"$work/needed"
for index in "$root"/var/lib/apt/lists/*Contents-*; do
    /usr/lib/apt/apt-helper cat-file "$index"
done |
    sed -nE 's,^usr/lib/(systemd/system|sysusers\.d|tmpfiles\.d)/.*[[:space:]]([^[:space:]]+)$,\2,p' |
    tr , '\n' | sed 's,.*/,,' | sort -u >"$work/bringing"
comm -12 "$work/needed" "$work/bringing" | sort -u - "$work/wanted" >"$root/srv/unpacked.txt"

cd "$work/debs"
# What any machine has: the first links and the programs that units take for granted.
private_apt download base-files bash coreutils dash grep kmod mount procps sed \
    $(cat "$root/srv/unpacked.txt")
for package in *.deb; do
    dpkg-deb --fsys-tarfile "$package" |
        tar --extract --directory="$tree" --keep-directory-symlink \
            --exclude='./usr/share/doc' --exclude='./usr/share/man' --exclude='./usr/share/locale' \
            --exclude='./usr/lib/debug'
done
find "$tree" -type f -size +64k -exec truncate --size=4K {} +
rm -rf "$work" "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin
