#!/bin/sh
# usage: pkg_config.sh <compiler> <source> <program> <module>: builds and runs with what pkg-config says.
set -eu
flags=$(pkg-config --cflags --libs "$4")
# The compiler and the flags are lists of words, and pkg-config quotes them for the shell.
eval "$1 -std=c++20 \"\$2\" -o \"\$3\" $flags"
eval "libdir=$(pkg-config --variable=libdir "$4")"
# shellcheck disable=SC2154  # assigned above
LD_LIBRARY_PATH=$libdir${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export LD_LIBRARY_PATH
exec "$3"
