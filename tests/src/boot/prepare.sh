# Makes a disk that has the layers of an image and no system yet: what it is deployed with later is fetched alone.
# Arguments: DISK IMPORTER LAYOUT
set -eu
disk=$1 importer=$2 layout=$3
truncate -s 4G "$disk"
mkfs.ext4 -q -m 0 -i 4096 -O verity -E lazy_itable_init=1,lazy_journal_init=1 "$disk"
mount -o loop,barrier=0 "$disk" /mnt
ostree admin init-fs /mnt
ostree admin os-init --sysroot=/mnt machine
repo=/mnt/ostree/repo
ostree config --repo=$repo set sysroot.bootloader none
ostree config --repo=$repo set sysroot.readonly true
# The disk is a file that goes after the test.
ostree config --repo=$repo set core.fsync false
"$importer" container image pull $repo "ostree-unverified-image:oci:$layout"
release /mnt
