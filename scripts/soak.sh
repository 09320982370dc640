#!/usr/bin/env bash
# soak.sh PRESET...: the tests labelled soak, fuzz corpora among them, with full counts (CKIT_SOAK=1) in each build.
set -uo pipefail
cd "$(dirname "$0")/.."
. scripts/ctest_lib.sh

export CKIT_SOAK=1
export CKIT_FUZZ_MUTATIONS=${CKIT_FUZZ_MUTATIONS:-16384}
passed=0
failed=0
for preset in "$@"; do
    echo "== $preset: build"
    if ! scripts/build.sh "$preset"; then
        failed=$((failed + 1))
        continue
    fi
    echo "== $preset: soak"
    run_ctest "$preset" -L soak --timeout 3600
    passed=$((passed + run_passed))
    failed=$((failed + run_failed))
done

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
