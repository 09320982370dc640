#!/usr/bin/env bash
# check.sh MODEL COMPILER [WORK]: spin finds no fault in the model, and one in each that lacks a rule.
set -euo pipefail

model=$(readlink -f "$1")
compiler=$2
work=${3:-$(mktemp -d)}
if ! command -v spin >/dev/null; then
    echo "SKIP: there is no spin"
    exit 77
fi
mkdir -p "$work"

# faults NAME DEFINES...: prints whether the search has found a fault: 0, 1, or "blocked" for one that is not of the
# protocol but of the model.
faults() {
    local dir=$work/$1
    rm -rf "$dir"
    mkdir -p "$dir"
    (
        cd "$dir"
        cp "$model" model.pml
        spin -a "${@:2}" model.pml >spin.log 2>&1
        "$compiler" -w -O"$optimise" -DSAFETY -DMEMLIM=1024 -o pan pan.c >cc.log 2>&1
        ./pan -m100000 >pan.log 2>&1
        if grep -q "Search not completed\|max search depth too small" pan.log && ! grep -q "errors: 1" pan.log; then
            echo "the search was not complete" >&2
            exit 1
        fi
        if grep -q "invalid end state (" pan.log; then
            echo blocked
        else
            sed -n 's/.*errors: \([0-9]*\).*/\1/p' pan.log
        fi
    )
}

failed=0
optimise=1
tell() { # EXPECTED NAME DEFINES...
    local found
    found=$(faults "${@:2}")
    if [[ $found != "$1" ]]; then
        echo "FAILED: $2: $found faults found, $1 expected (${*:3}); see $work/$2"
        failed=1
    else
        echo "$2: as expected"
        rm -rf "${work:?}/$2"
    fi
}

# The model names its variants, and behind a rule that does not show in the first of them the one where it does.
read -ra variants < <(sed -n 's/.*Variants: \([A-Z_ ]*\).*/\1/p' "$model")
for variant in "${variants[@]}"; do
    tell 0 "all_rules_$variant" "-D$variant"
done
optimise=0 # a fault is found soon
while read -r rule variant; do
    tell 1 "without_$rule" "-DWITHOUT_$rule" "-D${variant:-${variants[0]}}"
done < <(sed -n 's/^#ifn\?def WITHOUT_\([A-Z_]*\)\( [/][*] \([A-Z_]*\) [*][/]\)\?$/\1 \3/p' "$model" | sort -u -k1,1)
exit $failed
