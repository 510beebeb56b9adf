# Deploys an image into a disk that was prepared, or that a machine was booted from.
# Arguments: DISK BOOT_FOLDER IMPORTER LAYOUT KERNEL_ARGUMENT…
set -eu
disk=$1 boot=$2 importer=$3 layout=$4
shift 4
mount -o loop,barrier=0 "$disk" /mnt
for argument in "$@"; do
    set -- "$@" "--karg=$argument"
    shift
done
"$importer" container image deploy --sysroot=/mnt --stateroot=machine \
    --imgref="ostree-unverified-image:oci:$layout" "$@"

# There is no boot loader: QEMU gets what the newest entry names (entries count upwards).
for entry in /mnt/boot/loader/entries/*.conf; do :; done
value() { sed -n "s/^$1 *//p" "$entry"; }
cp "/mnt/boot$(value linux)" "$boot/vmlinuz"
cp "/mnt/boot$(value initrd)" "$boot/initrd"
value options >"$boot/options"
release /mnt
