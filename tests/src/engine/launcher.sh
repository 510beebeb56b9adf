# The launcher stands between the harness and the namespaces of an engine or of a booted container: it gives them a
# control group of their own and takes it away again, whatever ended them.
# Arguments: ALIVE_LOCK GROUP_NAME SUPERVISOR_ARGUMENT…; the supervisor's text comes in $SUPERVISOR.
set -eu
exec 9>"$1"
# Held until the last process is gone: what a killed harness ran may still be ending.
flock --wait 30 9 || {
    echo "what ran here before is still ending ($1 is locked); end it by hand" >&2
    exit 1
}

# Only where this machine has cgroup v2 mounted: a mount of our own would reset the hierarchy's options.
# At the top, because a session's own group holds processes, so its children would get no controllers.
hierarchy=$(awk '/ - cgroup2 / { print $5; exit }' /proc/self/mountinfo)
group=$hierarchy/$2
shift 2

remove_group() {
    [ ! -d "$group" ] || find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
}

remove_group
if [ -z "$hierarchy" ] || ! mkdir -p "$group" 2>/dev/null; then
    echo "no control group of its own below '$hierarchy': it stays in the harness's" >&2
    group=
fi

status=0
(
    [ -z "$group" ] || echo 0 >"$group/cgroup.procs"
    # An engine's uplink needs the network that the engine leaves.
    exec 8</proc/self/ns/net
    exec unshare --mount --pid --net --ipc --uts --cgroup --fork --kill-child \
        /bin/sh -c "$SUPERVISOR" supervisor "$@"
) || status=$?
remove_group
exit "$status"
