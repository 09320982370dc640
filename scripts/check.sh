#!/usr/bin/env bash
# check.sh PRESET...: builds each preset and runs its tests, beside those of the installed Python package (python.sh), and ends
# with one line: `N passed, N failed`. A build that fails counts as one failed test. Exit code 1 when anything failed.
set -uo pipefail
cd "$(dirname "$0")/.."
. scripts/ctest_lib.sh

# Soak tests have their own command; here they run with their reduced counts like every other test. Most tests wait more than
# they compute, so there are more at once than cores.
ctest_args=(-j "$((2 * ${JOBS:-$(nproc)}))")
mkdir -p build

# The package waits for an index, and its tests for one another: both fill what the presets after the first leave idle.
run_presets test "${@:1:1}"
log=build/python.log
scripts/python.sh >"$log" &
python=$!
trap 'kill "$python" 2>/dev/null' EXIT
run_presets test "${@:2}"
wait "$python"

echo "== python: pip install, test"
cat "$log"
if read -r more_passed more_failed < <(sed -nE 's/^   python: ([0-9]+) passed, ([0-9]+) failed$/\1 \2/p' "$log"); then
    passed=$((passed + more_passed))
    failed=$((failed + more_failed))
else
    failed=$((failed + 1))
fi
report_counts
