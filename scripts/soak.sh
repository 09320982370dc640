#!/usr/bin/env bash
# soak.sh PRESET...: the tests labelled soak, fuzz corpora among them, with full counts (CKIT_SOAK=1) in each build.
set -uo pipefail
cd "$(dirname "$0")/.."
. scripts/ctest_lib.sh

export CKIT_SOAK=1
export CKIT_FUZZ_MUTATIONS=${CKIT_FUZZ_MUTATIONS:-16384}
ctest_args=(-L soak --timeout 3600)
run_presets soak "$@"
report_counts
