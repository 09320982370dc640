#!/usr/bin/env bash
# bench_python.sh [ARG...]: the rows python.* of `make bench`; bench/python takes the arguments. The package is measured as
# `pip install .` makes it, in the newest Python that python.sh finds, or the one that BENCH_PYTHON names. What it is
# compared with comes from the package index; the released package has an environment of its own. Both stay in
# build/bench/python. Without an index the package of the build tree is measured, against what the system has.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly peers=(cachetools 'cachebox>=6' theine msgspec numpy pandas pyarrow redis hiredis)
unset PYTHONPATH PYTHONHOME VIRTUAL_ENV "${!CACHEKIT_@}" REDIS_URL
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

interpreter=${BENCH_PYTHON:-$(scripts/python.sh pythons | tail -n 1 | cut -d ' ' -f 2-)}
if [ -z "$interpreter" ]; then
    echo "python.*: left out: there is no Python from 3.9 with venv and headers (python3-venv, python3-dev)"
    exit 0
fi
version=$("$interpreter" -c 'import platform; print(platform.python_version())')
home=$PWD/build/bench/python/$version
environment=$home/venv released=$home/released
mkdir -p "$home"

# A short patience, because an index that is reached answers at once.
pip_install() { # pip_install ENVIRONMENT ARG...
    timeout 240 "$1/bin/python" -m pip install --quiet --timeout 10 --retries 1 "${@:2}" >"$home/pip.log" 2>&1
}

if [ ! -e "$home/tools" ]; then
    rm -rf "$environment"
    "$interpreter" -m venv "$environment"
    if ! pip_install "$environment" scikit-build-core; then
        echo "no package index is reached: the Python package of the build tree is measured"
        PYTHONPATH=$PWD/build/release/python exec /usr/bin/python3 -B bench/python --build "build tree" "$@"
    fi
    touch "$home/tools"
fi
# One by one only if not all can be had.
if [ "$(cat "$home/peers" 2>/dev/null)" != "${peers[*]}" ]; then
    if pip_install "$environment" --only-binary :all: "${peers[@]}"; then
        echo "${peers[*]}" >"$home/peers"
    else
        for peer in "${peers[@]}"; do
            pip_install "$environment" --only-binary :all: "$peer" || true
        done
    fi
fi
if [ ! -e "$home/released-installed" ]; then
    rm -rf "$released"
    "$interpreter" -m venv "$released"
    if pip_install "$released" --only-binary :all: cachekit; then
        touch "$home/released-installed"
    fi
fi

hash=$(scripts/python.sh fingerprint)
if [ "$(cat "$home/installed" 2>/dev/null)" != "$hash" ]; then
    rm -f "$home/installed"
    if ! pip_install "$environment" --no-deps --force-reinstall --no-build-isolation \
        "--config-settings=build-dir=$home/cmake" .; then
        cat "$home/pip.log" >&2
        echo "bench_python.sh: pip install . failed" >&2
        exit 1
    fi
    echo "$hash" >"$home/installed"
fi

incumbent=()
[ -e "$home/released-installed" ] && incumbent=(--released "$released/bin/python")
exec "$environment/bin/python" -B bench/python --build "pip install, Release" "${incumbent[@]}" "$@"
