#!/bin/sh
# Makes the databases beside this script anew, by the rpm of the system that it runs on (Debian 13 has 4.20):
#
#     make.sh OUTPUT
#
# Run it as root in a container or a root of its own: it installs what specs/ describes.
set -eu
output=$1
specs=$(dirname "$(readlink -f "$0")")/specs
work=$(mktemp --directory)
export SOURCE_DATE_EPOCH=1700000000

for spec in "$specs"/*.spec; do
    rpmbuild --quiet -bb --define "_topdir $work" --define "_rpmdir $work/rpms" \
        --define "_build_name_fmt %%{NAME}-%%{VERSION}.rpm" --define "_buildhost localhost" \
        --define "use_source_date_epoch_as_buildtime 1" --define "build_mtime_policy clamp_to_source_date_epoch" "$spec"
done

rpm() {
    command rpm --dbpath "$work/db" --nodeps --define "__transaction_unshare %{nil}" "$@"
}
save() {
    gzip --best --no-name --stdout "$work/db/$1" >"$output/$1.gz"
}

cd "$work/rpms"
rpm --install filesystem-1.rpm acme-agent-1.rpm acme-agent-plugin-1.rpm many-1.rpm
# What is removed leaves free pages.
rpm --erase many
save rpmdb.sqlite

# A transaction that is killed after its first package leaves that one in the log beside the database.
! rpm --install many-1.rpm killer-1.rpm
save rpmdb.sqlite-wal
rm -r "$work"
