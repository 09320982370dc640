#!/usr/bin/env bash
# python.sh: the Python package as its users get it. For each Python from 3.9 that is found: `pip install .` into a
# virtual environment under build/python, then python/tests; in the newest with every extra, the types are checked, and
# entries are exchanged with the released package (tests/interchange). Those between the oldest and the newest run what does
# not wait for servers, processes and lifetimes, beside the two.
# The last line is `   python: N passed, N failed`. Without a package index one line says so and nothing is counted: the
# same tests have run from the build tree. What was installed stays, so a second run only tests.
set -uo pipefail
cd "$(dirname "$0")/.."

readonly state=$PWD/build/python budget=${PYTHON_BUDGET:-300}
readonly tools=(pytest) extras=(numpy pandas polars pyarrow orjson prometheus-client)
# Nothing there depends on the interpreter that the other tests would not show.
readonly waiting=(backends custom_backends faults freshness guides many_limits package processes redis redis_environment refresh refresh_stored)
# A newer checker may find more: that is a change of ours, not of a day.
readonly checkers=(basedpyright==1.40.2 typing-extensions)
unset PYTHONPATH PYTHONHOME VIRTUAL_ENV "${!CACHEKIT_@}" REDIS_URL
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PYTHONPYCACHEPREFIX=$state/pycache

# One line `MINOR INTERPRETER` for each minor version, oldest first. The system's own stands for its version. It needs
# venv with pip, and headers.
pythons() {
    local candidate
    for candidate in /usr/bin/python3 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.*/bin/python3 "$(command -v python3)"; do
        [ -x "$candidate" ] && "$candidate" -c '
import ensurepip, os, sys, sysconfig, venv
usable = sys.version_info >= (3, 9) and os.path.exists(sysconfig.get_path("include") + "/Python.h")
if usable and sys.implementation.name == "cpython":
    print("%d.%d" % sys.version_info[:2], sys.executable)' 2>/dev/null
    done | sort -s -t . -k 1,1n -k 2,2n | awk '!seen[$1]++'
}

# What an installed package is made of.
fingerprint() {
    find CMakeLists.txt pyproject.toml cmake include src python/CMakeLists.txt python/ext python/cachekit -type f \
        ! -path '*/__pycache__/*' ! -name '*_test.c' ! -name '*_fuzz.c' -print0 |
        LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -d ' ' -f 1
}

# For bench_python.sh: `python.sh pythons`, `python.sh fingerprint`.
case "${1:-}" in pythons | fingerprint) "$1"; exit ;; esac

# A short patience, because an index that is reached answers at once.
pip_install() { # pip_install ENVIRONMENT SECONDS ARG...
    local environment=$1 seconds=$2
    shift 2
    timeout "$seconds" "$environment/bin/python" -m pip install --quiet --timeout 10 --retries 3 "$@"
}

install_package() { # install_package ENVIRONMENT AS_DOCUMENTED. 77: what builds it cannot be had from the index
    # In an environment for building that pip makes. It asks the index; elsewhere and if that fails not.
    if [ "$2" = 1 ] && pip_install "$1" 600 --no-deps --force-reinstall .; then
        return 0
    fi
    # In one directory for all: the library is compiled once, the extension for each. With one builder for all, since another
    # one begins anew, and without optimization over files, which takes longer than all the rest.
    (
        flock 9
        install_builder "$1" || exit 77
        PYTHONPATH=$state/builder timeout 600 "$1/bin/python" -m pip install --quiet --no-deps --force-reinstall \
            --no-build-isolation --config-settings=build-dir=build/python/cmake \
            --config-settings=cmake.define.CKIT_LTO=OFF .
    ) 9>"$state/lock"
}

# What builds, with what it needs in the oldest Python.
install_builder() { # install_builder ENVIRONMENT
    [ -e "$state/builder/complete" ] && return 0
    rm -rf "$state/builder"
    pip_install "$1" 300 --target "$state/builder" --python-version "${found[0]%% *}" --only-binary :all: \
        scikit-build-core exceptiongroup tomli typing-extensions && touch "$state/builder/complete"
}

# Counts go to the file `result`: passed, failed; everything else to the log.
prepare_and_test() { # prepare_and_test MINOR INTERPRETER NEWEST WHOLE HASH
    local minor=$1 interpreter=$2 newest=$3 whole=$4 hash=$5 home=$state/$1 passed=0 failed=0 left_out=()
    local environment=$home/venv notes=$home/notes
    mkdir -p "$home"
    local begin=$SECONDS
    trap 'echo "$((SECONDS - begin)) s" >>"$notes"' RETURN
    : >"$notes"
    echo "0 1" >"$home/result"
    if [ ! -e "$home/tools" ] || ! "$environment/bin/python" -c 'import pytest'; then
        rm -rf "$environment" "$home"/{tools,extras,installed}
        "$interpreter" -m venv "$environment" || return
        if ! pip_install "$environment" 300 "${tools[@]}"; then
            rm "$home/result" # nothing to count
            echo "no package index is reached" >"$notes"
            return
        fi
        touch "$home/tools"
    fi
    if [ "$newest" = 1 ] && [ ! -e "$home/extras" ]; then
        if pip_install "$environment" 240 --only-binary :all: "${extras[@]}" "${checkers[@]}"; then
            touch "$home/extras"
        else
            echo "not all extras could be installed: tests that need them are skipped" >>"$notes"
        fi
    fi
    if [ "$(cat "$home/installed" 2>/dev/null)" != "$hash" ]; then
        rm -f "$home/installed"
        install_package "$environment" "$newest"
        case $? in
        0) ;;
        77)
            rm "$home/result"
            echo "what builds it cannot be had from the package index" >>"$notes"
            return
            ;;
        *)
            echo "pip install . failed" >>"$notes"
            return
            ;;
        esac
        echo "$hash" >"$home/installed"
    fi

    if [ "$newest" = 1 ]; then # beside the tests
        timeout 900 tests/interchange/run.sh "$environment/bin/python" >"$home/exchanged" 2>&1 &
    fi
    local summary installed=$SECONDS
    [ "$whole" = 1 ] || left_out=("${waiting[@]/#/--ignore=python/tests/test_}")
    timeout 1500 "$environment/bin/python" -m pytest -q -p no:cacheprovider "${left_out[@]/%/.py}" python/tests \
        >"$home/pytest.log" 2>&1
    local code=$?
    cat "$home/pytest.log"
    summary=$(grep -E '^[0-9]+ .* in [0-9.]+s' "$home/pytest.log" | tail -n 1)
    passed=$(grep -oE '[0-9]+ passed' <<<"$summary" | cut -d ' ' -f 1)
    failed=$(grep -oE '[0-9]+ (failed|error)' <<<"$summary" | awk '{ n += $1 } END { print n + 0 }')
    passed=${passed:-0}
    if [ $code -ne 0 ] && [ "$failed" -eq 0 ]; then # it crashed, or took too long
        echo "pytest ended with $code" >>"$notes"
        failed=1
    fi
    grep -oE '[0-9]+ skipped' <<<"$summary" >>"$notes"
    [ "$whole" = 1 ] || echo "the tests that do not wait" >>"$notes"
    echo "installed in $((installed - begin)) s, tested in $((SECONDS - installed)) s" >>"$notes"

    if [ "$newest" = 1 ] && [ -e "$home/extras" ]; then
        if timeout 600 "$environment/bin/basedpyright" --pythonpath "$environment/bin/python"; then
            passed=$((passed + 1))
        else
            echo "basedpyright found something" >>"$notes"
            failed=$((failed + 1))
        fi
    fi
    if [ "$newest" = 1 ]; then
        local exchanged
        wait
        exchanged=$(cat "$home/exchanged")
        echo "$exchanged"
        if grep -qE 'interchange: [0-9]+ passed' <<<"$exchanged"; then
            passed=$((passed + $(grep -oE 'interchange: [0-9]+' <<<"$exchanged" | grep -oE '[0-9]+')))
            failed=$((failed + $(grep -oE '[0-9]+ failed$' <<<"$exchanged" | grep -oE '[0-9]+')))
        else
            grep -E 'interchange: skipped' <<<"$exchanged" | sed 's/^ *//' >>"$notes" || failed=$((failed + 1))
        fi
    fi
    echo "$passed $failed" >"$home/result"
}

mapfile -t found < <(pythons)
if [ ${#found[@]} -eq 0 ]; then
    echo "   python: skipped: there is no Python from 3.9 with venv and headers (python3-venv, python3-dev)"
    echo "   python: 0 passed, 0 failed"
    exit 0
fi
mkdir -p "$state"
hash=$(fingerprint)
newest=${found[-1]}
# The newest has most to do, so it begins; the oldest differs most from it. Tests wait more than they compute: one more at a
# time than there are processors, and those in between, which are the third, step back. What has not begun when time is up
# (PYTHON_BUDGET, in seconds) is left out: a slow machine is no failure.
mapfile -t in_turn < <(printf '%s\n' "${found[@]}" | tac | awk 'NR == 1 { print; next } { rest[NR] = $0 }
    END { if (NR > 1) print rest[NR]; for (i = 2; i < NR; i++) print rest[i] }')
for line in "${in_turn[@]}"; do
    read -r minor interpreter <<<"$line"
    while [ "$(jobs -rp | wc -l)" -gt "${JOBS:-$(nproc)}" ]; do
        wait -n
    done
    mkdir -p "$state/$minor"
    if [ $SECONDS -gt "$budget" ]; then
        rm -f "$state/$minor/result"
        echo "no time was left" >"$state/$minor/notes"
        continue
    fi
    is_newest=0 whole=0
    [ "$line" = "$newest" ] && is_newest=1
    [ $is_newest = 1 ] || [ "$line" = "${found[0]}" ] && whole=1
    {
        [ $whole = 1 ] || renice -n 5 "$BASHPID"
        prepare_and_test "$minor" "$interpreter" $is_newest $whole "$hash"
    } >"$state/$minor/log" 2>&1 &
done
wait

passed=0 failed=0
for line in "${found[@]}"; do
    read -r minor _ <<<"$line"
    notes=$(sed 's/^/; /' "$state/$minor/notes" | tr -d '\n')
    if [ ! -e "$state/$minor/result" ]; then
        echo "   python $minor: skipped$notes"
        continue
    fi
    read -r more_passed more_failed <"$state/$minor/result"
    [ "$more_failed" -gt 0 ] && cat "$state/$minor/log"
    echo "   python $minor: $more_passed passed, $more_failed failed$notes"
    passed=$((passed + more_passed))
    failed=$((failed + more_failed))
done
echo "   python: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
