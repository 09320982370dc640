#!/usr/bin/env bash
# check.sh CC BUILD_DIR WORK_DIR PREFIX: installs cachekit under WORK_DIR, builds this project on it and runs it.
set -euo pipefail
cc=$1 build=$2 work=$3 prefix=$4
here=$(cd "$(dirname "$0")" && pwd)
rm -rf "$work"
mkdir -p "$work"
run() {
    if ! "$@" >"$work/log" 2>&1; then
        cat "$work/log" >&2
        exit 1
    fi
}
DESTDIR=$work/root run cmake --install "$build"
run cmake -S "$here" -B "$work/build" -G Ninja -DCMAKE_C_COMPILER="$cc" -DCMAKE_PREFIX_PATH="$work/root$prefix" \
    -DCMAKE_C_FLAGS="-Wall -Wextra -Werror"
run cmake --build "$work/build"
"$work/build/shelf"
