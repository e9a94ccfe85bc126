#!/bin/sh
# usage: meson.sh <meson> <project> <build folder>: builds the project, and runs its tests.
set -eu
rm -rf -- "$3"
"$1" setup "$3" "$2"
"$1" compile -C "$3"
exec "$1" test -C "$3"
