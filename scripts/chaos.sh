#!/usr/bin/env bash
# chaos.sh: builds and runs the rehearsal of failures with full counts and times. Leaves build/chaos/results.json.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/build.sh release ckit_chaos
mkdir -p build/chaos build/chaos/scratch
CKIT_SCRATCH="$PWD/build/chaos/scratch" build/release/tests/chaos/ckit_chaos --out build/chaos/results.json "$@"
