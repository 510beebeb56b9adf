# Packs a tree: an archive, a package of dpkg and one of rpm, with their checksums.
# Arguments: TREE VERSION OUT
set -eu
tree=$1 version=$2 out=$3
find "$tree" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +

folder=osderive-$version-x86_64-linux
tar --create --sort=name --owner=0 --group=0 --numeric-owner --transform="s,^usr,$folder," --directory="$tree" usr |
    gzip --no-name --best >"$out/$folder.tar.gz"

deb=/tmp/deb
mkdir -p "$deb/DEBIAN"
cp --archive "$tree/usr" "$deb/"
cat >"$deb/DEBIAN/control" <<END
Package: osderive
Version: $version
Architecture: amd64
Maintainer: osderive
Section: utils
Priority: optional
Recommends: podman | buildah
Description: builds images with podman or buildah that machines boot
 It goes before a build. Each RUN of the image is committed, and what a machine would stumble over is told with its line.
END
dpkg-deb --root-owner-group --build "$deb" "$out/osderive_${version}_amd64.deb" >&2

cat >/tmp/osderive.spec <<END
# What is packed is built and stripped already.
%global debug_package %{nil}
%global __os_install_post %{nil}
Name: osderive
Version: $version
Release: 1
Summary: Builds images with podman or buildah that machines boot
License: Apache-2.0 OR MIT
BuildArch: x86_64
AutoReqProv: no
Recommends: (podman or buildah)

%description
It goes before a build. Each RUN of the image is committed, and what a machine would stumble over is told with its line.

%install
mkdir -p %{buildroot}
cp --archive $tree/usr %{buildroot}/

%files
%(cd $tree && find usr -name '*osderive*' -prune -printf '/%p\n')
END
rpmbuild -bb --quiet --target x86_64 --define '_topdir /tmp/rpm' --define '_rpmfilename %{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}.rpm' \
    --define '_buildhost localhost' --define 'use_source_date_epoch_as_buildtime 1' \
    --define 'clamp_mtime_to_source_date_epoch 1' /tmp/osderive.spec >&2
mv /tmp/rpm/RPMS/*.rpm "$out/"

cd "$out"
sha256sum -- * >/tmp/SHA256SUMS
mv /tmp/SHA256SUMS .
