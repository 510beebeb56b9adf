# Fetches mmdebstrap and Debian's keys with this machine's apt, whose own state stays as it is.
# Arguments: DIRECTORY MIRROR [KEYRING]
set -eu
directory=$1 mirror=$2 keyring=${3-}
cd "$directory"

private_apt() {
    apt-get -o Dir::State="$directory/apt" -o Dir::State::lists="$directory/apt/lists" \
        -o Dir::State::status=/dev/null -o Dir::Cache="$directory/apt/cache" \
        -o APT::Sandbox::User=root -o Acquire::Languages=none -o Acquire::Check-Valid-Until=false "$@"
}

unpack() {
    for package in *.deb; do dpkg-deb --extract "$package" "$directory"; done
    rm -f ./*.deb
}

if [ -z "$keyring" ]; then
    # Ubuntu has Debian's keys as a package, signed by keys that this machine trusts.
    private_apt update
    private_apt download debian-archive-keyring
    unpack
    for keyring in "$directory"/usr/share/keyrings/debian-archive-keyring.*; do break; done
    rm -rf apt/lists/* && mkdir -p apt/lists/partial
fi
echo "deb [signed-by=$keyring] $mirror trixie main" >apt/etc/sources.list
private_apt -o Dir::Etc="$directory/apt/etc" update
private_apt -o Dir::Etc="$directory/apt/etc" download mmdebstrap debian-archive-keyring
unpack
rm -rf apt
