#!/usr/bin/env bash
# check.sh PRESET...: builds each preset, runs its tests, and ends with one line: `N passed, N failed`.
# A build that fails counts as one failed test. Exit code 1 when anything failed.
set -uo pipefail
cd "$(dirname "$0")/.."
. scripts/ctest_lib.sh

# Soak tests have their own command; here they run with their reduced counts like every other test.
ctest_args=(-j "${JOBS:-$(nproc)}")
run_presets test "$@"
