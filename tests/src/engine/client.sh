# Runs a program among an engine's processes, in the caller's working directory.
# Arguments: ENGINE_PID PROGRAM ARGUMENT…
engine=$1
shift
# docker leaves all work to its daemon; other programs make groups beside their own, which must be the engine's.
# It is entered before the namespace of control groups, from where a process outside cannot be moved.
exec nsenter --target "$engine" --mount --uts --ipc --net --pid -- /bin/sh -c '
    cd -- "$0" || exit 125
    [ "$1" = docker ] || echo 0 >/sys/fs/cgroup/init/cgroup.procs || exit 125
    exec nsenter --cgroup=/proc/1/ns/cgroup -- "$@"' "$(pwd -P)" "$@"
