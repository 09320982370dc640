#!/usr/bin/env bash
# check.sh PRESET...: builds each preset, runs its tests, and ends with one line: `N passed, N failed`.
# A build that fails counts as one failed test. Exit code 1 when anything failed.
set -uo pipefail
cd "$(dirname "$0")/.."
. scripts/ctest_lib.sh

passed=0
failed=0
for preset in "$@"; do
    echo "== $preset: build"
    if ! scripts/build.sh "$preset"; then
        failed=$((failed + 1))
        continue
    fi
    echo "== $preset: test"
    # Soak tests have their own command; here they run with their reduced counts like every other test.
    run_ctest "$preset" -j "${JOBS:-$(nproc)}"
    passed=$((passed + run_passed))
    failed=$((failed + run_failed))
done

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
