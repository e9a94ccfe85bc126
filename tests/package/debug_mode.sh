#!/bin/sh
# usage: debug_mode.sh <compiler> <source> <program>: a program with libstdc++'s debug mode and the library
# without it, or the other way, do not link, and the linker says why.
set -eu
flags=$(pkg-config --cflags --libs socketserver)
linked=
for mode in -U_GLIBCXX_DEBUG -D_GLIBCXX_DEBUG; do
    # The compiler and the flags are lists of words, and pkg-config quotes them for the shell.
    if said=$(eval "$1 -std=c++20 $mode \"\$2\" -o \"\$3\" $flags" 2>&1); then
        linked="$linked $mode"
    elif ! printf '%s\n' "$said" | grep -q 'undefined.*library_compiled_with.*_GLIBCXX_DEBUG'; then
        printf '%s\n' "$said"
        echo "$mode: the linker does not say that the library is compiled in another mode"
        exit 1
    fi
done
case $linked in
' -U_GLIBCXX_DEBUG' | ' -D_GLIBCXX_DEBUG') ;;
*)
    echo "one of the two modes must link; what does:$linked"
    exit 1
    ;;
esac
