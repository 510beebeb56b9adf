# Boots what is on a disk in systemd-nspawn, laid out as the initramfs does it. Ends with the machine, or when standard
# input does.
# Arguments: DISK FOLDER ARGUMENT_OF_NSPAWN…
set -eu
disk=$1 folder=$2
shift 2
# A shell gives background jobs /dev/null as standard input, so the pipe is kept on another descriptor.
exec 3<&0 </dev/null
mount -t proc -o nosuid,nodev,noexec proc /proc
umount -l /.former
rmdir /.former
mount -o loop,barrier=0 "$disk" /mnt

ostree=
for word in $(cat "$folder/options"); do
    case $word in ostree=*) ostree=${word#ostree=} ;; esac
done
machine=/mnt
if [ -n "$ostree" ]; then
    # What ostree-prepare-root does with `sysroot.readonly`, and the mount unit that ostree's generator makes of /var.
    deployment=$(readlink -f "/mnt$ostree")
    machine=/machine
    mkdir "$machine"
    mount --bind "$deployment" "$machine"
    mount --bind "$machine/usr" "$machine/usr"
    mount -o remount,bind,ro "$machine/usr"
    mount --bind "${deployment%/deploy/*}/var" "$machine/var"
    mount --bind /mnt/boot "$machine/boot"
    mount --bind /mnt "$machine/sysroot"
    mount -o remount,bind,ro "$machine/sysroot"
    : >/run/ostree-booted
    set -- --bind-ro=/run/ostree-booted "$@"
fi

# The payload's own group: it gives controllers to its children.
(
    echo 0 >/sys/fs/cgroup/machine/cgroup.procs
    exec env SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 systemd-nspawn --directory="$machine" "$@"
) 3<&- 9>&- &
container=$!
{ cat <&3 >/dev/null && kill -KILL "$container"; } 9>&- &
status=0
wait "$container" || status=$?
exit "$status"
