#!/bin/sh
# usage: release.sh <repository> <work folder>: a release of a copy of the repository, twice, and one that must not be.
set -eu
rm -rf -- "$2"
mkdir -p -- "$2/tree"
(cd -- "$1" && git ls-files -z | tar --create --null --files-from=-) | tar --directory="$2/tree" --extract
cd -- "$2/tree"
commit() { git -c user.name=test -c user.email=test@localhost commit --quiet --all --message "$1" --date=@1700000000; }
export GIT_COMMITTER_DATE=@1700000000
git init --quiet .
git add --all
commit tree

./dev release 9.8.7 --no-debs
(cd build/release-9.8.7 && sha256sum --check SHA256SUMS)
for part in socketserver-9.8.7.tar.gz socketserver_single.hpp; do
    grep --quiet " $part\$" build/release-9.8.7/SHA256SUMS
done
tar --list --file=build/release-9.8.7/socketserver-9.8.7.tar.gz | grep --quiet '^socketserver-9.8.7/include/socketserver/version.hpp$'
grep --quiet '^// socketserver 9.8.7' build/release-9.8.7/socketserver_single.hpp
grep --quiet '^## \[9.8.7\] - 2023-11-14$' CHANGELOG.md
cp build/release-9.8.7/SHA256SUMS ../first

# A tree with changes is not released, nor is an older version.
if ./dev release 9.8.8 --no-debs; then exit 1; fi
commit release
if ./dev release 9.8.6 --no-debs; then exit 1; fi
# And with nothing new to say of it neither.
if ./dev release 9.8.8 --no-debs; then exit 1; fi

# The same sources give the same files.
git reset --quiet --hard HEAD~1
rm -rf build
./dev release 9.8.7 --no-debs
cmp build/release-9.8.7/SHA256SUMS ../first
