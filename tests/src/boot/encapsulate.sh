# Makes an ostree native container of a root file system, as base images of distributions are made.
# Arguments: WORK_FOLDER REFERENCE_PROGRAM TREE ARCHIVE IMAGE_NAME
set -eu
work=$1 program=$2 tree=$3 archive=$4 name=$5
ostree init --repo="$work/repo" --mode=bare
# /var is empty in there: the encapsulated form has a /var/tmp of its own, and engines take no path twice.
ostree commit --repo="$work/repo" --branch=base --bootable --tree="tar=$tree" --tar-autocreate-parents \
    --tar-pathname-filter='^(\./)?etc(/|$),usr/etc\2'
"$program" container encapsulate --repo="$work/repo" --compression-fast --cmd=/sbin/init \
    --label=containers.bootc=1 --label=ostree.bootable=true base "oci:$work/image"
skopeo copy "oci:$work/image" "docker-archive:$archive:$name"
