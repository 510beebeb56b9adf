# Makes RPMs of specs and a repository of them. The kernel that one of them brings is another base image's.
# Arguments: FOLDER_OF_SPECS ARCHIVE_WITH_A_KERNEL REPOSITORY
set -eu
specs=$1 archive=$2 repository=$3
mkdir -p /kernel
tar --extract --file="$archive" --directory=/kernel ./usr/lib/modules
# As configuration: what is loaded by an option is forgotten where a spec names another architecture.
cp "$specs/macros" /usr/lib/rpm/macros.d/macros.zz-specs
for spec in "$specs"/*.spec; do
    rpmbuild -bb --quiet --define '_topdir /tmp/rpm' \
        --define '_rpmfilename %{NAME}-%{VERSION}.rpm' "$spec"
done
mv /tmp/rpm/RPMS/*.rpm "$repository/"
createrepo_c --quiet --groupfile="$specs/comps.xml" "$repository"
