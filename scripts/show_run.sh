#!/usr/bin/env bash
# show_run.sh TOOL: a slow command twice through `cachekit run`, in a store of its own, and how long each call took.
set -euo pipefail
tool=$1
store=$(mktemp -d)
trap 'rm -rf "$store"' EXIT

echo
echo "  cachekit run -- sh -c 'sleep 1; date +%T'"
for call in first again; do
    begin=${EPOCHREALTIME/[.,]/}
    answer=$("$tool" run --store "file://$store" -- sh -c 'sleep 1; date +%T')
    end=${EPOCHREALTIME/[.,]/}
    microseconds=$((end - begin))
    printf '  %-6s %s %9d.%d ms\n' "$call" "$answer" $((microseconds / 1000)) $((microseconds / 100 % 10))
done
