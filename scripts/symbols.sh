#!/usr/bin/env bash
# symbols.sh check|write LIBRARY: compares what the shared library exports with src/exported-symbols.txt, or writes it.
set -euo pipefail

mode=$1
library=$2
list="$(dirname "$0")/../src/exported-symbols.txt"

exported() {
    # The version node itself (CACHEKIT_0) is listed as an absolute symbol: not one of ours.
    nm -D --defined-only --format=posix "$library" | awk '$2 != "A" { sub(/@.*/, "", $1); print $1 }' | LC_ALL=C sort
}

if [ "$mode" = write ]; then
    exported >"$list"
    echo "$(wc -l <"$list") symbols in src/exported-symbols.txt"
    exit 0
fi

if foreign=$(exported | grep -v '^ckit_'); then
    echo "exported, but not ckit_*:" >&2
    echo "$foreign" >&2
    exit 1
fi
if ! diff -u "$list" <(exported) >&2; then
    echo "the exported symbols changed; if that is meant: make symbols" >&2
    exit 1
fi
