# Prints which packages of this image's archive ship which system units: lines of a path and of packages with their
# sections, as Debian's indexes of contents have them. apt knows the archive, and fetches them. It does not verify them:
# mirrors lag behind with these, and all that they decide is what is drawn.
set -eu
systemd-tmpfiles --create --prefix=/var 2>/dev/null || true
apt-get update >&2
apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT) $(ARCHITECTURE)' 'Created-By: Packages' | sort -u |
    while read -r archive release component architecture; do
        [ "$component" = main ] || continue
        for kind in "$architecture" all; do
            index=/tmp/$kind.gz
            /usr/lib/apt/apt-helper download-file "${archive}dists/$release/$component/Contents-$kind.gz" "$index" >&2
            zcat "$index"
        done
    done | grep -E '^(usr/)?lib/systemd/system/[^/]+[.](service|socket|timer|path|target)[[:space:]]'
