#!/usr/bin/env bash
# check.sh PRESET...: builds each preset, runs its tests, then those of the installed Python package (python.sh), and ends
# with one line: `N passed, N failed`. A build that fails counts as one failed test. Exit code 1 when anything failed.
set -uo pipefail
cd "$(dirname "$0")/.."
. scripts/ctest_lib.sh

# Soak tests have their own command; here they run with their reduced counts like every other test.
ctest_args=(-j "${JOBS:-$(nproc)}")
run_presets test "$@"

echo "== python: pip install, test"
log=build/python.log
scripts/python.sh | tee "$log"
if read -r more_passed more_failed < <(sed -nE 's/^   python: ([0-9]+) passed, ([0-9]+) failed$/\1 \2/p' "$log"); then
    passed=$((passed + more_passed))
    failed=$((failed + more_failed))
else
    failed=$((failed + 1))
fi
report_counts
