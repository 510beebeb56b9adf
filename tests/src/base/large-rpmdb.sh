# Makes FOLDER/rpmdb.sqlite: rpm's own, of PACKAGES packages with FILES files each. No file is installed.
# Arguments: FOLDER PACKAGES FILES
set -eu
folder=$1 packages=$2 files=$3
cat >/tmp/large.spec <<'END'
Name: large
Version: 1
Release: 1
Summary: As many files as a large image has
License: MIT
BuildArch: noarch
AutoReqProv: no
%global __os_install_post %{nil}
%global _binary_payload w0.ufdio
%description
%{summary}.
%{lua:
for number = 1, tonumber(macros.packages) do
    local name = "part-" .. number
    print("%package " .. name .. "\nSummary: A part\nAutoReqProv: no\n")
    print("%description " .. name .. "\nA part of it.\n")
    print("%files " .. name .. "\n/usr/share/large/" .. number .. "\n")
end
}
%install
for number in $(seq %{packages}); do
    directory=%{buildroot}/usr/share/large/$number/a-directory-of-common-length
    mkdir -p "$directory"
    cd "$directory"
    seq -f 'a-file-whose-name-is-of-common-length-%g' %{files} | xargs touch
done
END
rpmbuild -bb --quiet --define '_topdir /tmp/rpm' --define "packages $packages" --define "files $files" /tmp/large.spec
rpm --dbpath=/tmp/database --initdb
rpm --dbpath=/tmp/database --install --justdb --nodeps --nosignature /tmp/rpm/RPMS/noarch/*.rpm
mv /tmp/database/rpmdb.sqlite "$folder/"
