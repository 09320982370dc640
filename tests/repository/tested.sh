#!/usr/bin/env bash
# tested.sh SOURCE_DIR: a reader finds the tests of every source of the library: in NAME_test.c beside it, or in a test
# or a fuzz target of the same directory whose first comment names it.
cd "$1" || exit 1
named=$(find src \( -name '*_test.c' -o -name '*_fuzz.c' \) -exec awk '
    FNR == 1 { open = 1; directory = FILENAME; sub("/[^/]*$", "", directory) }
    open { line = $0
           while (match(line, /[a-z0-9_]+\.c/)) {
               print directory "/" substr(line, RSTART, RLENGTH); line = substr(line, RSTART + RLENGTH) } }
    /\*\// { open = 0 }' {} +)
failed=0
for source in $(find src -name '*.c' | sort); do
    case ${source##*/} in *_test.c | *_fuzz.c | *_fixture.c | fake_*.c | faulty_*.c | hearer.c | tables_doc.c) continue ;; esac
    if [ ! -f "${source%.c}_test.c" ] && [[ $'\n'$named$'\n' != *$'\n'"$source"$'\n'* ]]; then
        echo "no test names $source" >&2
        failed=1
    fi
done
exit $failed
