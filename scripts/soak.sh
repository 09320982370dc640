#!/usr/bin/env bash
# soak.sh PRESET...: the tests labelled soak, fuzz corpora among them, with full counts (CKIT_SOAK=1) in each build. The fleet of
# workers on one Redis is kept busy for CKIT_SOAK_SECONDS (300); its table is shown at the end. Each test is shown as it ends; one
# that takes a quarter of an hour and four times those seconds is ended.
set -uo pipefail
cd "$(dirname "$0")/.."
. scripts/ctest_lib.sh

export CKIT_SOAK=1
export CKIT_SOAK_SECONDS=${CKIT_SOAK_SECONDS:-300}
export CKIT_FUZZ_MUTATIONS=${CKIT_FUZZ_MUTATIONS:-16384}
ctest_args=(-L soak --timeout $((900 + 4 * CKIT_SOAK_SECONDS)))
ctest_progress=yes
for preset in "$@"; do
    export CKIT_SOAK_REPORT=$PWD/build/$preset-soak.txt
    mkdir -p build
    rm -f "$CKIT_SOAK_REPORT"
    run_presets soak "$preset"
done
for preset in "$@"; do
    echo "== $preset: the fleet"
    cat "build/$preset-soak.txt" 2>/dev/null || echo "no Redis here"
done
report_counts
