#!/usr/bin/env bash
# check.sh CC SOURCE_DIR LIBRARY WORK_DIR: what README.md, CONTRIBUTING.md and docs/ show is real.
#
#   ```c with a main   a program: it compiles without a warning against the public headers, runs and exits with 0
#   other ```c         a quotation: its lines stand, in this order, in one file of examples/ or in one public
#                      header; comments do not count
#   ```cmake           in docs/: the same of a CMakeLists.txt in examples/ or tests/package/
#   ```sh              the commands, targets and presets exist; sessions ("$ " in front of commands) are not looked at:
#                      tests/cli/test_examples.py runs them and compares what they print
#   [text](target)     a file of the repository is there
#   `src/file.c`       a path of the repository is there, also of another of its directories
#   docs/architecture.md  names every component, public header and directory of tests, every part of src/cache and every
#                      module of the Python package
#
# In docs/security.md each row of the table of claims names tests, or files of them, that are there.
set -uo pipefail
cc=$1 source=$2 library=$3 work=$4
failed=0
programs=0 quotations=0 commands=0 sessions=0 links=0 claims=0

rm -rf "$work"
mkdir -p "$work/blocks" "$work/run"
cd "$source" || exit 1
mapfile -t pages < <(ls README.md CONTRIBUTING.md docs/*.md docs/python/*.md docs/decisions/*.md 2>/dev/null)
mapfile -t code < <(find examples include -name '*.[ch]' | LC_ALL=C sort)
mapfile -t lists < <(find examples tests/package -name CMakeLists.txt | LC_ALL=C sort)

complain() {
    echo "$1" >&2
    failed=1
}

# Writes every fenced block as blocks/<page>:<line>.<language>.
split_page() {
    awk -v page="${1//\//_}" -v to="$work/blocks" '
        /^```/ && !inside { inside = 1; file = to "/" page ":" NR "." (substr($0, 4) == "" ? "text" : substr($0, 4)); next }
        /^```/            { inside = 0; close(file); next }
        inside            { print > file }
        END               { exit inside }' "$1" || complain "$1: a block does not end"
}

# quoted BLOCK FILE...: do the lines of the block stand in one of the files? Blanks and comments behind a line do not
# count, nor do the stars of a header's comment.
quoted() {
    local block=$1
    shift
    awk '
        { gsub(/[ \t]+/, " "); sub(/^ ?(\* )?/, ""); sub(/ *\/\*.*\*\/ *$/, ""); sub(/ $/, "") }
        $0 == ""               { next }
        FILENAME == ARGV[1]    { wanted[++count] = $0; next }
        FILENAME != now        { now = FILENAME; at = 1 }
        $0 == wanted[at]       { if (at++ == count) { found = 1; exit } }
        at > furthest          { furthest = at }
        END { if (!found) print "no file has this line behind those before it: " wanted[furthest]; exit !found }' \
        "$block" "$@"
}

run_program() {
    local program=$work/run/program
    "$cc" -std=c11 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -I include -x c "$1" -x none -o "$program" \
        "$library" "-Wl,-rpath,$(dirname "$library")" || return 1
    (cd "$work/run" && TMPDIR=$work/run ./program >output 2>&1 || { cat output >&2; exit 1; })
}

is_target() { grep -qE "^$1:" Makefile; }
is_preset() { grep -qE "\"name\": \"$1\"" CMakePresets.json; }
# Something that the documentation has built before: a program of the repository, or the outcome of some "-o".
is_made() {
    find . -path ./build -prune -o -name "$1.c" -print | grep -q . || grep -qE -- "-o $1( |\$)" "${pages[@]}"
}

# Is this command there? Prints what is missing.
command_exists() {
    local first=$1 word preset=no
    shift
    case "$first" in
    make)
        for word in "$@"; do
            [[ $word == -* || $word == *=* ]] || is_target "$word" || echo "make $word"
        done
        ;;
    cmake | ctest)
        for word in "$@"; do
            [ $preset = no ] || is_preset "$word" || echo "preset $word"
            [ "$word" = --preset ] && preset=yes || preset=no
        done
        PATH=$PATH:/sbin:/usr/sbin command -v "$first" >/dev/null || echo "$first"
        ;;
    */*) [ -e "$first" ] || is_made "$(basename "$first")" || echo "$first" ;;
    *) PATH=$PATH:/sbin:/usr/sbin command -v "$first" >/dev/null || echo "$first" ;;
    esac
}

check_commands() {
    local line missing
    local -a words
    while IFS= read -r line; do
        read -r -a words <<<"$line"
        while [ ${#words[@]} -gt 0 ] && [[ ${words[0]} == *=* || ${words[0]} =~ ^(sudo|env|time|nice)$ ]]; do
            words=("${words[@]:1}")
        done
        [ ${#words[@]} -gt 0 ] || continue
        commands=$((commands + 1))
        missing=$(command_exists "${words[@]}")
        [ -z "$missing" ] || complain "$(basename "$1"): there is no '$missing'"
    done < <(sed -E 's/(^|[[:space:]])#.*//; s/&&|\|\||[;|]|\$\(/\n/g; s/[)]//g' "$1")
}

check_links() {
    local link target
    while IFS= read -r link; do
        target=${link%%#*}
        [[ -z $target || $target == *://* || $target == mailto:* ]] && continue
        links=$((links + 1))
        [ -e "$(dirname "$1")/$target" ] || complain "$1: $target is not there"
    done < <(awk '/^```/ { inside = !inside } !inside' "$1" | grep -oE '\]\([^)]+\)' | sed -E 's/^\]\(//; s/\)$//')
}

test_exists() {
    case "$1" in
    */*) [ -e "$1" ] ;;
    test_*) grep -rqE "^ *(async )?def $1\(" python/tests tests/cli ;;
    *.*) grep -rqF "CKIT_TEST(${1%%.*}, ${1#*.})" src tests ;;
    *) false ;;
    esac
}

check_claims() {
    local claim tests name
    local -a names
    while IFS='|' read -r _ claim tests _; do
        claims=$((claims + 1))
        mapfile -t names < <(grep -oE '`[^`]+`' <<<"$tests" | tr -d '`')
        [ ${#names[@]} -gt 0 ] || complain "docs/security.md:$claim has no test"
        for name in "${names[@]}"; do
            test_exists "$name" || complain "docs/security.md:$claim is held by no test '$name'"
        done
    done < <(awk '/^\| Claim/ { inside = 1; next } inside && /^\|-/ { next } inside && /^\|/ { print; next } { inside = 0 }' \
        docs/security.md)
}

check_architecture() {
    local page=docs/architecture.md named path
    for path in src/*/ src/backend/*/ tests/*/ include/cachekit/*.h include/cachekit/ext/*.h; do
        named=${path%/}
        [ "$named" = src/backend ] || grep -qF "\`${named#include/cachekit/}\`" $page || complain "$page does not name $named"
    done
    # The table of src/cache names files without their directory, one of NAME.h and NAME.c for both.
    local names
    names=$(awk '/^Where to look in/ { inside = 1 } /^## / { inside = 0 } inside && /^\| `/' $page | cut -d '|' -f 2 |
        grep -oE '`[a-z0-9_]+\.[ch]`' | tr -d '\`')
    for path in $names; do
        [ -e "src/cache/$path" ] || complain "$page names src/cache/$path, which is not there"
    done
    for path in src/cache/*.[ch]; do
        named=$(basename "${path%.[ch]}")
        case $named in *_test | *_fixture) continue ;; esac
        grep -qxE "$named\.[ch]" <<<"$names" || complain "$page does not name $path"
    done
    for path in python/cachekit/*; do
        named=$(basename "$path")
        case $named in __*__* | *.pyi | *.so | py.typed) continue ;; esac
        grep -qE "\`$named/?\`" $page || complain "$page does not name $path"
    done
}

check_paths() {
    local path
    while IFS= read -r path; do
        compgen -G "$path*" >/dev/null || complain "$1 names $path, which is not there"
    done < <(grep -oE '`(src|cli|python|tests|bench|scripts|cmake|docs|examples|fuzz|include)/[A-Za-z0-9_./-]+`' "$1" |
        tr -d '\`' | grep -v NAME)
}
check_architecture

for page in "${pages[@]}"; do
    split_page "$page"
    check_links "$page"
    check_paths "$page"
done
check_claims
for block in "$work"/blocks/*; do
    name=$(basename "$block")
    case "$name" in
    *.c)
        if grep -qE '^int main\(' "$block"; then
            programs=$((programs + 1))
            run_program "$block" || complain "$name does not compile and run"
        else
            quotations=$((quotations + 1))
            why=$(quoted "$block" "${code[@]}") || complain "$name quotes nothing real: $why"
        fi
        ;;
    docs_*.cmake)
        quotations=$((quotations + 1))
        why=$(quoted "$block" "${lists[@]}") || complain "$name quotes nothing real: $why"
        ;;
    *.sh)
        if grep -q '^\$ ' "$block"; then
            sessions=$((sessions + 1))
        else
            check_commands "$block"
        fi
        ;;
    esac
done

echo "${#pages[@]} pages: $programs programs, $quotations quotations, $commands commands, $sessions sessions, $links links, $claims claims"
[ "$programs" -gt 0 ] && [ "$quotations" -gt 0 ] && [ "$commands" -gt 0 ] && [ "$links" -gt 0 ] && [ "$claims" -gt 0 ] &&
    [ $failed -eq 0 ]
