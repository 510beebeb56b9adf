# Runs a program among an engine's processes, in the caller's working directory.
# Arguments: ENGINE_PID PROGRAM ARGUMENT…
engine=$1
shift
exec nsenter --target "$engine" --mount --uts --ipc --net --pid --cgroup -- /bin/sh -c '
    cd -- "$0" || exit 125
    # docker leaves all work to its daemon; other programs make groups below their own.
    if [ "$1" != docker ]; then
        for group in /sys/fs/cgroup /sys/fs/cgroup/*; do
            case $group in */init) ;; *) [ ! -e /sys/fs/cgroup/init ] || continue ;; esac
            [ ! -e "$group/cgroup.procs" ] || echo $$ >"$group/cgroup.procs"
        done
    fi
    exec "$@"' "$(pwd -P)" "$@"
