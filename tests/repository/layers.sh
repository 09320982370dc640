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

compiles() { # compiles COMPONENT: standard input, on the component's path
    "$cc" -std=c11 -D_GNU_SOURCE -fsyntax-only -x c -I "$layers/$1/private" -I "$layers/$1/public" -
}

# What is its own compiles alone, ...
expect() { # expect COMPONENT INCLUDE
    tried=$((tried + 1))
    if ! compiles "$1" <<<"#include $2"; then
        echo "$1 cannot include $2" >&2
        failed=1
    fi
}

# ... what it uses, with all that stands in it, is there, ...
expect_all() { # expect_all COMPONENT INCLUDE...
    tried=$((tried + $# - 1))
    if ! printf '#include %s\n' "${@:2}" | compiles "$1"; then
        echo "$1 cannot include what it uses" >&2
        failed=1
    fi
}

# ... and everything else is not.
expect_none() { # expect_none COMPONENT INCLUDE...
    local include
    tried=$((tried + $# - 1))
    for include in "${@:2}"; do
        printf '#if __has_include(%s)\n#error "%s can include it, and should not: " %s\n#endif\n' "$include" "$1" "$include"
    done | compiles "$1" || failed=1
}

own() { expect "$component" "$1"; }
use() { used+=("$1"); }
refuse() { refused+=("$1"); }

for component in "${components[@]}"; do
    expect_all "$component" '<cachekit/types.h>' '<cachekit/error.h>'
    refused=('"src/base/alloc.h"') # the source tree itself must not be on the path
    for other in "${components[@]}"; do
        used=() answer=refuse
        if [ "$component" = "$other" ]; then
            answer=own
        elif [[ "${uses[$component]}" == *" $other "* ]]; then
            answer=use
        fi
        for header in "$source/src/$other"/*.h; do
            # What tests share is for tests, which see more than components do.
            case $header in *_fixture.h | *_checks.h | *_test.h) continue ;; esac
            [ -f "$header" ] && $answer "\"$other/$(basename "$header")\""
        done
        for header in ${headers[$other]}; do
            $answer "<cachekit/$header>"
        done
        [ ${#used[@]} -eq 0 ] || expect_all "$component" "${used[@]}"
    done
    expect_none "$component" "${refused[@]}"
done
echo "$tried includes tried"
[ "$tried" -gt 0 ] && [ $failed -eq 0 ]
