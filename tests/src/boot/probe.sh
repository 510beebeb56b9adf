# Runs inside the booted machine and writes what became of the image to its first argument, a serial port or a file, in
# sections that begin with a line `@@NAME`. systemd-tmpfiles, getent, find and journalctl are all that it needs.
set -u
export LC_ALL=C SYSTEMD_COLORS=0 SYSTEMD_PAGER=
exec >"$1" 2>&1
stty raw -echo <&1 2>/dev/null || :

# It returns before units that restart again and again have ended.
systemctl is-system-running --wait >/dev/null
calm=0
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    busy=$(systemctl list-units --plain --no-legend --state=activating,deactivating,reloading)
    if [ -z "$busy" ]; then calm=$((calm + 1)); else calm=0; fi
    [ $calm -lt 3 ] || break
    sleep 1
done

section() { printf '@@%s\n' "$1"; }
section state
systemctl is-system-running
section units
systemctl list-units --all --full --plain --no-legend
section restarts
{ systemctl show --property=Id,NRestarts '*.service'; echo; } |
    while IFS='=' read -r key value; do
        case $key in
            Id) id=$value ;;
            NRestarts) restarts=$value ;;
            *)
                [ "${restarts:-0}" = 0 ] || echo "$id $restarts"
                restarts=0
                ;;
        esac
    done
section users
getent passwd
section groups
getent group
section local
getent shadow local
cat /etc/hosts
section declarations
systemctl show --property=Id,ActiveState,Result,ExecMainStatus \
    systemd-sysusers.service systemd-tmpfiles-setup.service
journalctl --boot --quiet --no-hostname --output=short-monotonic \
    --unit=systemd-sysusers.service --unit=systemd-tmpfiles-setup.service
section files
find /var /opt/ /usr/local/ -xdev -maxdepth 6 -printf '%M %u:%g %p\n' | head -n 4000
section errors
journalctl --boot --quiet --no-hostname --output=short-monotonic --priority=err | head -n 300
section failures
enabled=$(systemctl list-unit-files --plain --no-legend --type=service --state=enabled)
{
    systemctl list-units --plain --no-legend --full --state=failed,auto-restart,activating
    systemctl list-units --plain --no-legend --full --all --type=service --state=inactive |
        while read -r unit _; do
            case "$enabled" in *"$unit "*) echo "$unit" ;; esac
        done
} | while read -r unit _; do
    systemctl status --full --lines=15 "$unit"
done
section end
# A container writes to the machine's own page cache, and would flush all of that.
systemd-detect-virt --quiet --container || sync
systemctl poweroff
