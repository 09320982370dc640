#!/usr/bin/env bash
# fuzz.sh SECONDS [TARGET...]: runs every libFuzzer target (or the named ones, as key_fuzz) for so many seconds, on the
# saved corpus and what earlier runs found. Inputs that break something are left in build/fuzz/found/<target>/.
set -euo pipefail
cd "$(dirname "$0")/.."

duration=$1
shift
scripts/build.sh fuzz
build=build/fuzz

targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
    for program in "$build"/fuzzers/*; do
        [ -x "$program" ] && targets+=("$(basename "$program")")
    done
fi
if [ ${#targets[@]} -eq 0 ]; then
    echo "fuzz.sh: there are no fuzz targets" >&2
    exit 1
fi

failed=0
for target in "${targets[@]}"; do
    short=${target%_fuzz}
    mkdir -p "$build/seeds/$short" "$build/grown/$short" "$build/found/$short"
    if compgen -G "fuzz/corpus/$short/*.hex" >/dev/null; then
        "$build/tests/support/ckit_hex2bin" "$build/seeds/$short" fuzz/corpus/"$short"/*.hex
    fi
    echo "== $target for $duration s"
    log="$build/$target.log"
    if "$build/fuzzers/$target" -max_total_time="$duration" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="$build/found/$short/" "$build/grown/$short" "$build/seeds/$short" >"$log" 2>&1; then
        grep -E 'number_of_executed_units|new_units_added' "$log" || true
    else
        tail -n 60 "$log"
        failed=$((failed + 1))
    fi
done
echo "$((${#targets[@]} - failed)) targets held, $failed did not"
[ "$failed" -eq 0 ]
