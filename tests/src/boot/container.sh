# Process 1 of the namespaces that a container is booted in: lays out the workshop's root in the private mount
# namespace and enters it. Nothing that it mounts is visible outside, and all of it goes when it ends.
# Arguments: ROOT STATE_FOLDER ARGUMENT_OF_INSIDE…; $INSIDE is what runs in the new root.
set -eu
root=$1 state=$2
shift 2

mount -t tmpfs -o mode=755 osderive "$root/mnt"
mkdir "$root/mnt/upper" "$root/mnt/work" "$root/mnt/root"
new=$root/mnt/root
mount -t overlay -o "lowerdir=$root,upperdir=$root/mnt/upper,workdir=$root/mnt/work" overlay "$new"
mount --rbind /dev "$new/dev"
mount -t sysfs -o nosuid,nodev,noexec sysfs "$new/sys"
mount -t tmpfs -o mode=755 tmpfs "$new/run"
mount -t tmpfs -o mode=1777 tmpfs "$new/tmp"
mkdir -p "$new$state"
mount --bind "$state" "$new$state"

# cgroup v2 alone, which begins at the group that the launcher made. Its controllers go to groups without processes
# of their own only.
groups=$new/sys/fs/cgroup
mount -t cgroup2 cgroup2 "$groups"
mkdir -p "$groups/init" "$groups/machine"
echo 1 >"$groups/init/cgroup.procs"
for controller in $(cat "$groups/cgroup.controllers"); do
    echo "+$controller" >"$groups/cgroup.subtree_control" || true
done

cd "$new"
mkdir .former
pivot_root . .former
exec chroot . /bin/sh -c "$INSIDE" inside "$@"
