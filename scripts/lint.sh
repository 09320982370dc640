#!/usr/bin/env bash
# lint.sh [FILE...]: clang-tidy over the library and the tool (or the named files), as .clang-tidy says.
set -euo pipefail
cd "$(dirname "$0")/.."

# Every time: new files and moved headers must be known.
cmake --preset dev-clang >/dev/null
files=("$@")
if [ ${#files[@]} -eq 0 ]; then
    mapfile -t files < <(git ls-files 'src/*.c' 'cli/*.c' | grep -vE '_(test|fuzz)\.c$')
fi
printf '%s\0' "${files[@]}" | xargs -0 -n 1 -P "${JOBS:-$(nproc)}" clang-tidy-14 --quiet -p build/dev-clang \
    2> >(grep -vE '^[0-9]+ warnings? (generated|treated)' >&2)
