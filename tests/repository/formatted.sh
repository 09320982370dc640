#!/usr/bin/env bash
# formatted.sh SOURCE_DIR CLANG_FORMAT: every tracked C file stands as .clang-format says. `make format` brings it there.
set -uo pipefail
cd "$1" || exit 1
if ! git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
    echo "not a git checkout: nothing to look at"
    exit 0
fi
# Files that are tracked and deleted are not there to be looked at.
git ls-files -z '*.c' '*.h' | while IFS= read -r -d '' file; do
    [ -e "$file" ] && printf '%s\0' "$file"
done | xargs -0 -r "$2" --dry-run -Werror
