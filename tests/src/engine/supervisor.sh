# The supervisor is process 1 of an engine's namespaces: it lays out the engine's root in the private mount
# namespace and enters it. Nothing that it mounts is visible outside, and all of it goes when it ends.
# Arguments: ROOT SLOT SHARED_DIRECTORY…; $INSIDE is what runs in the new root, $DAEMON_JSON dockerd's settings.
set -eu
root=$1 slot=$2
shift 2
IFS=' ' read -r host_pid _ </proc/self/stat
hostname osderive-engine

rm -rf "$slot/var-tmp"
mkdir -p "$slot/mnt" "$slot/docker" "$slot/containers"
mkdir -m 1777 "$slot/var-tmp"

# Engines share one root: what each writes to it goes to an upper layer in memory.
mount -t tmpfs -o mode=755 osderive "$slot/mnt"
mkdir "$slot/mnt/upper" "$slot/mnt/work" "$slot/mnt/root"
new=$slot/mnt/root
mount -t overlay -o "lowerdir=$root,upperdir=$slot/mnt/upper,workdir=$slot/mnt/work" overlay "$new"

mount --rbind /dev "$new/dev"
mount -t sysfs -o nosuid,nodev,noexec sysfs "$new/sys"
mount -t tmpfs -o mode=755 tmpfs "$new/run"
mount -t tmpfs -o mode=1777 tmpfs "$new/tmp"
mkdir -p "$new/var/lib/docker" "$new/var/lib/containers"
mount --bind "$slot/docker" "$new/var/lib/docker"
mount --bind "$slot/containers" "$new/var/lib/containers"
mount --bind "$slot/var-tmp" "$new/var/tmp"
for shared in "$@"; do
    mkdir -p "$new$shared"
    mount --bind "$shared" "$new$shared"
done

# cgroup v2 alone, as current distributions have it, also where this machine has version 1 beside it;
# controllers that version 1 holds are then not to be had. Mounted in the engine's control group namespace,
# it begins at the engine's own group.
groups=$new/sys/fs/cgroup
mount -t cgroup2 cgroup2 "$groups"
# cgroup v2 gives controllers only to the children of a group that has no process itself.
mkdir -p "$groups/init"
echo 1 >"$groups/init/cgroup.procs"
for controller in $(cat "$groups/cgroup.controllers"); do
    echo "+$controller" >"$groups/cgroup.subtree_control" || true
done

printf '%s\n' "$DAEMON_JSON" >"$new/run/daemon.json"
cat /etc/resolv.conf >"$new/run/uplink-resolv.conf"
rm -f "$new/etc/resolv.conf"
echo 'nameserver 10.0.2.3' >"$new/etc/resolv.conf"
printf '127.0.0.1 localhost\n::1 localhost\n' >"$new/etc/hosts"
if [ -e /etc/ssl/certs/ca-certificates.crt ]; then
    mkdir -p "$new/etc/ssl/certs"
    cat /etc/ssl/certs/ca-certificates.crt >"$new/etc/ssl/certs/ca-certificates.crt"
fi

cd "$new"
mkdir -p .former
pivot_root . .former
exec chroot . /bin/sh -c "$INSIDE" inside "$host_pid"
