# The launcher stands between the harness and an engine's namespaces: it gives the engine control groups
# of its own and takes them away again, whatever ended the engine.
# Arguments: ALIVE_LOCK CONTROL_GROUP… -- SUPERVISOR_ARGUMENT…; the supervisor's text comes in $SUPERVISOR.
set -eu
exec 9>"$1"
# Held until the slot's last process is gone: the engine of a killed harness may still be ending.
flock --wait 30 9 || {
    echo "the former engine of this slot is still ending ($1 is locked); end it by hand" >&2
    exit 1
}
shift

remove_groups() {
    find "$1" -depth -type d -exec rmdir {} + 2>/dev/null || true
}

groups=
while [ "$1" != -- ]; do
    [ ! -d "$1" ] || remove_groups "$1"
    if mkdir -p "$1" 2>/dev/null; then
        groups="$groups $1"
        # A new cpuset of cgroup v1 has no processor and accepts no process until it is given some.
        if [ -e "$1/cpuset.mems" ] && [ ! -e "$1/cgroup.controllers" ]; then
            cat "$1/../cpuset.cpus" >"$1/cpuset.cpus"
            cat "$1/../cpuset.mems" >"$1/cpuset.mems"
        fi
    else
        echo "no control group of its own at $1: the engine stays in the harness's" >&2
    fi
    shift
done
shift

status=0
(
    # In here $PPID is still the launcher's, so a child tells each group its parent's number.
    for group in $groups; do sh -c 'echo $PPID >"$0/cgroup.procs"' "$group"; done
    # The uplink needs the network that the engine leaves.
    exec 8</proc/self/ns/net
    exec unshare --mount --pid --net --ipc --uts --cgroup --fork --kill-child \
        /bin/sh -c "$SUPERVISOR" supervisor "$@"
) || status=$?
for group in $groups; do remove_groups "$group"; done
exit "$status"
