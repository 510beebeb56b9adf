# Unpacks packages into srv/shipped of the root and configures none: those of srv/packages.txt, and of what they need
# what may bring units or lines of sysusers.d or tmpfiles.d. Which packages have such files only the archive's Contents
# index tells, which mirrors often have in another version than the rest; so these are taken: what a package of the
# list depends on itself, and what depends on the tools that debhelper's scripts for units and such lines call.
# Large files are cut: who looks there asks whether a program is there, and how it begins.
export LC_ALL=C
root=$1
tree=$root/srv/shipped
work=$root/srv/work
mkdir -p "$tree" "$work/debs"

private() {
    program=$1
    shift
    APT_CONFIG=$MMDEBSTRAP_APT_CONFIG "$program" -o APT::Sandbox::User=root -o Acquire::Languages=none "$@"
}
private apt-get update >&2

sed 's/#.*//' "$root/srv/packages.txt" | tr -s ' ' '\n' | grep . | sort -u >"$work/wanted"
only='--no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances'
private apt-cache depends $only $(cat "$work/wanted") |
    sed -nE 's/^ *\|?(Pre)?Depends: ([a-z0-9].*)$/\2/p' |
    grep -vE '^(lib|perl|python3|fonts-|gcc|binutils|ghostscript)' | sort -u >"$work/direct"
private apt-cache depends --recurse $only $(cat "$work/wanted") | grep '^[a-z]' | sort -u >"$work/needed"
private apt-cache show $(cat "$work/needed") |
    awk -v RS= '
        /\n(Pre-)?Depends:[^\n]*(init-system-helpers|lsb-base|systemd-(sysusers|tmpfiles))/ {
            match($0, /Package: [^\n]*/)
            print substr($0, RSTART + 9, RLENGTH - 9)
        }' >"$work/bringing"
# Names that only others provide are no packages.
sort -u "$work/direct" "$work/bringing" | comm -12 "$work/needed" - |
    sort -u - "$work/wanted" >"$root/srv/unpacked.txt"

cd "$work/debs"
# What any machine has: the first links and the programs that units take for granted.
private apt-get download base-files bash coreutils dash grep kmod mount procps sed \
    $(cat "$root/srv/unpacked.txt") >&2
for package in *.deb; do
    dpkg-deb --fsys-tarfile "$package" |
        tar --extract --directory="$tree" --keep-directory-symlink \
            --exclude='./usr/share/doc' --exclude='./usr/share/man' --exclude='./usr/share/locale' \
            --exclude='./usr/lib/debug'
done
find "$tree" -type f -size +64k -exec truncate --size=4K {} +
rm -rf "$work" "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin
