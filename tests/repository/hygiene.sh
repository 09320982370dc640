#!/usr/bin/env bash
# hygiene.sh SOURCE_DIR: what may not be in the repository: paths of somebody's machine, binary files, notes to oneself,
# trailing blanks. Looks at tracked files only.
set -uo pipefail
cd "$1" || exit 1
if ! git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
    echo "not a git checkout: nothing to look at"
    exit 0
fi
failed=0

complain() { # complain WHAT: reads findings
    local found
    found=$(cat)
    [ -z "$found" ] && return
    printf '%s:\n%s\n' "$1" "$found" >&2
    failed=1
}

# The words are put together here so that this file does not contain them.
slash=/
machine="(^|[^A-Za-z0-9_.])(${slash}work${slash}|${slash}root${slash}|${slash}home${slash}[a-z]|${slash}tmp${slash}build-)"
notes="(^|[^A-Za-z])(TO""DO|FIX""ME|XX""X|HA""CK)([^A-Za-z]|\$)|[Ff]or"" now([^A-Za-z]|\$)"

complain "paths of one machine" < <(git grep -nIE "$machine" || true)
complain "notes to oneself" < <(git grep -nIE "$notes" || true)
complain "trailing blanks" < <(git grep -nIE '[[:blank:]]+$' -- ':!*.md' || true)
# A file that git takes for binary has no text lines to count.
complain "binary files" < <(git ls-files -s | awk '$1 != "120000"' | cut -f 2- | while IFS= read -r file; do
    [ -s "$file" ] && ! grep -qI . "$file" && echo "$file"
done)
complain "built files" < <(git ls-files | grep -E '\.(o|a|so|so\.[0-9.]+|pyc|gcda|gcno)$|^build/' || true)

exit $failed
