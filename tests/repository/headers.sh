#!/usr/bin/env bash
# headers.sh CC CXX|"" SOURCE_DIR LAYERS_DIR: every public header compiles alone, as C11 and as C++17, and belongs to
# exactly one component. cachekit.h, the page that includes the others, is for programs and belongs to none.
set -uo pipefail
cc=$1 cxx=$2 source=$3 layers=$4
failed=0
cd "$source/include" || exit 1

mapfile -t headers < <(find cachekit -name '*.h' | LC_ALL=C sort)
[ ${#headers[@]} -gt 0 ] || exit 1
strict=(-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -fsyntax-only -I .)
for header in "${headers[@]}"; do
    printf '#include <%s>\nint nothing;\n' "$header" |
        "$cc" -std=c11 -Wstrict-prototypes "${strict[@]}" -x c - || failed=1
    if [ -n "$cxx" ]; then
        printf '#include <%s>\nint nothing;\n' "$header" | "$cxx" -std=c++17 "${strict[@]}" -x c++ - || failed=1
    fi
    case "$header" in
    cachekit/types.h | cachekit/error.h | cachekit/cachekit.h | cachekit/ext/*) continue ;;
    esac
    if ! cut -d '|' -f 3 "$layers/rows.txt" | tr ' ' '\n' | grep -qxF "${header#cachekit/}"; then
        echo "$header belongs to no component: name it in the HEADERS of one" >&2
        failed=1
    fi
done
echo "${#headers[@]} headers"
exit $failed
