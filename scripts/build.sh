#!/usr/bin/env bash
# build.sh PRESET [TARGET...]: configures and builds. Prints only what goes wrong.
set -euo pipefail
cd "$(dirname "$0")/.."

preset=$1
shift
targets=()
[ $# -gt 0 ] && targets=(--target "$@")

log="build/$preset.log"
mkdir -p build
run() {
    if ! "$@" >"$log" 2>&1; then
        cat "$log" >&2
        echo "build.sh: the $preset build failed" >&2
        exit 1
    fi
}

# Every time: it is quick, and a changed preset counts.
run cmake --preset "$preset"
run cmake --build --preset "$preset" -j "${JOBS:-$(nproc)}" "${targets[@]}"
