#!/usr/bin/env bash
# layers.sh CC SOURCE_DIR LAYERS_DIR: tries, for every component, every private and public header of every other, and
# expects exactly what cmake/layers.cmake grants. LAYERS_DIR/rows.txt lists component|uses|public headers.
set -uo pipefail
cc=$1 source=$2 layers=$3
failed=0
tried=0

declare -A uses=() headers=()
components=()
while IFS='|' read -r component used owned; do
    components+=("$component")
    uses[$component]=" $used "
    headers[$component]=$owned
done <"$layers/rows.txt"

finds() { # finds COMPONENT INCLUDE: does the compiler find it on the component's path?
    printf '#include %s\n' "$2" | "$cc" -std=c11 -D_GNU_SOURCE -fsyntax-only -x c \
        -I "$layers/$1/private" -I "$layers/$1/public" - >"$3" 2>&1
}

log=$(mktemp)
trap 'rm -f "$log"' EXIT

expect() { # expect yes|no COMPONENT INCLUDE
    tried=$((tried + 1))
    if finds "$2" "$3" "$log"; then
        [ "$1" = yes ] && return
        echo "$2 can include $3, and should not" >&2
    else
        # It must fail because it is not there, not for a reason of its own.
        [ "$1" = no ] && grep -qE 'No such file|file not found' "$log" && return
        echo "$2 including $3 (expected to compile: $1):" >&2
        cat "$log" >&2
    fi
    failed=1
}

for component in "${components[@]}"; do
    for other in "${components[@]}"; do
        answer=no
        if [ "$component" = "$other" ] || [[ "${uses[$component]}" == *" $other "* ]]; then
            answer=yes
        fi
        for header in "$source/src/$other"/*.h; do
            # What tests share is for tests, which see more than components do.
            case $header in *_fixture.h | *_checks.h | *_test.h) continue ;; esac
            [ -f "$header" ] && expect $answer "$component" "\"$other/$(basename "$header")\""
        done
        for header in ${headers[$other]}; do
            expect $answer "$component" "<cachekit/$header>"
        done
    done
    expect yes "$component" '<cachekit/types.h>'
    expect yes "$component" '<cachekit/error.h>'
    # The source tree itself must not be on the path.
    expect no "$component" '"src/base/alloc.h"'
done
echo "$tried includes tried"
[ "$tried" -gt 0 ] && [ $failed -eq 0 ]
