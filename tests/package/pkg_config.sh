#!/bin/sh
# usage: pkg_config.sh <compiler> <source> <program> <module>: builds and runs with what pkg-config says.
set -eu
flags=$(pkg-config --cflags --libs "$4")
# The compiler and the flags are lists of words.
# shellcheck disable=SC2086
$1 -std=c++20 "$2" -o "$3" $flags
LD_LIBRARY_PATH=$(pkg-config --variable=libdir "$4")${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export LD_LIBRARY_PATH
exec "$3"
