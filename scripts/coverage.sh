#!/usr/bin/env bash
# coverage.sh: runs the tests of the coverage build and writes build/coverage/report/index.html.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/ctest_lib.sh

scripts/build.sh coverage
find build/coverage -name '*.gcda' -delete
run_ctest coverage -j "${JOBS:-$(nproc)}"
mkdir -p build/coverage/report
gcovr --root . --filter 'src/' --filter 'cli/' --exclude '.*_(test|fuzz)\.c' --exclude-throw-branches \
    --html-details build/coverage/report/index.html --print-summary build/coverage
[ "$run_failed" -eq 0 ]
