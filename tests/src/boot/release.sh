# Unmounts a file system as soon as nobody uses it, within a minute. A program of the machine that looks at all
# processes, or what a program leaves behind, may use it for a moment longer than who mounted it.
release() {
    attempts=600
    until umount "$1" 2>/dev/null; do
        attempts=$((attempts - 1))
        [ $attempts -gt 0 ] || {
            umount "$1"
            return
        }
        sleep 0.1
    done
}
