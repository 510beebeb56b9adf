# Enters the workshop's root in a mount namespace of its own and runs a program there. What it writes outside of the
# shared directories goes to memory, and all of it ends with the program.
# Arguments: ROOT WORKING_DIRECTORY NUMBER SHARED_DIRECTORY… PROGRAM ARGUMENT…
set -eu
root=$1 directory=$2 number=$3
shift 3

mount -t tmpfs -o mode=755 osderive "$root/mnt"
mkdir "$root/mnt/upper" "$root/mnt/work" "$root/mnt/root"
new=$root/mnt/root
mount -t overlay -o "lowerdir=$root,upperdir=$root/mnt/upper,workdir=$root/mnt/work" overlay "$new"
mount --rbind /dev "$new/dev"
mount -t proc -o nosuid,nodev,noexec proc "$new/proc"
mount -t sysfs -o nosuid,nodev,noexec sysfs "$new/sys"
mount -t tmpfs -o mode=1777 tmpfs "$new/tmp"
while [ "$number" -gt 0 ]; do
    mkdir -p "$new$1"
    mount --bind "$1" "$new$1"
    shift
    number=$((number - 1))
done
exec chroot "$new" /bin/sh -c 'cd -- "$0" && exec "$@"' "$directory" "$@"
