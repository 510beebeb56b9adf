# Unpacks the root file system of an image on a disk of its own, as an ordinary mutable system.
# Arguments: DISK BOOT_FOLDER ARCHIVE KERNEL_ARGUMENT…
set -eu
disk=$1 boot=$2 archive=$3
shift 3
truncate -s 4G "$disk"
mkfs.ext4 -q -m 0 -i 4096 -E lazy_itable_init=1,lazy_journal_init=1 "$disk"
mount -o loop,barrier=0 "$disk" /mnt
# systemd takes a machine with .dockerenv for a container.
tar --extract --file="$archive" --directory=/mnt --numeric-owner --same-permissions \
    --xattrs --xattrs-include='*' --exclude=.dockerenv
# Engines export empty ones where they mount their own. A machine without a network has none, and there are servers
# that start with the one and not with the other.
for file in /mnt/etc/hostname /mnt/etc/resolv.conf; do
    if [ -f "$file" ] && [ ! -L "$file" ] && [ ! -s "$file" ]; then rm "$file"; fi
done
# Every machine has this one, and there are servers that do not start without a localhost.
printf '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n' >/mnt/etc/hosts
for kernel in /mnt/usr/lib/modules/*; do :; done
cp "$kernel/vmlinuz" "$boot/vmlinuz"
cp "$kernel/initramfs.img" "$boot/initrd"
echo "$*" >"$boot/options"
release /mnt
