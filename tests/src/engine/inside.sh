# What process 1 does once it is in the engine's root: it starts the uplink and dockerd, tells the harness
# its process id (on standard output), and ends with its standard input.
set -eu
# A shell gives background jobs /dev/null as standard input, so the pipe is kept on another descriptor.
exec 3<&0 </dev/null
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount -t proc -o nosuid,nodev,noexec proc /proc
umount -l /.former
rmdir /.former
ip link set lo up
# A dockerd that must switch forwarding on itself then drops all but its own, podman's networks too.
echo 1 >/proc/sys/net/ipv4/ip_forward

# podman and buildah ask for higher limits than a root without CAP_SYS_RESOURCE may set, and podman for a
# limit on processes, which needs a controller that there may not be.
mkdir -p /etc/containers/containers.conf.d
awk '
    /^Max open files/ { files = $5 }
    /^Max processes/ { processes = $4 }
    END {
        if (processes == "unlimited") processes = -1
        print "[containers]\npids_limit = 0"
        printf "default_ulimits = [\"nofile=%s:%s\", \"nproc=%s:%s\"]\n", files, files, processes, processes
    }' /proc/self/limits >/etc/containers/containers.conf.d/limits.conf

# The uplink stays in the host's network (descriptor 8) and asks the host's name servers.
mkfifo /run/uplink-ready
unshare --mount sh -c '
    mount --bind /run/uplink-resolv.conf /etc/resolv.conf
    exec nsenter --net=/proc/self/fd/8 slirp4netns --configure --mtu=65520 --ready-fd=7 1 tap0
' 7>/run/uplink-ready 3<&- 9>&- >&2 &
[ "$(head -c 1 /run/uplink-ready)" = 1 ] || {
    echo "the uplink did not start" >&2
    exit 1
}

dockerd --config-file /run/daemon.json 3<&- 8<&- 9>&- >&2 &
echo "pid $1"
cat <&3 >/dev/null &
# Waiting (rather than reading) lets the shell reap the orphans that process 1 inherits.
wait $!
