#!/usr/bin/env bash
# run.sh INTERPRETER: entries in a Redis server, exchanged with the released package for Python in both directions. The
# interpreter is one that imports this package; the released one gets an environment of its own in build/interchange, with
# the serializers' modules that the interpreter has. Without redis-server or a package index one line says so.
set -uo pipefail
cd "$(dirname "$0")/../.."

# The release whose keys and entries docs/formats.md describes.
readonly released='cachekit==0.17.1' ours=$1 home=$PWD/build/interchange
unset PYTHONHOME VIRTUAL_ENV "${!CACHEKIT_@}" REDIS_URL
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

if ! command -v redis-server >/dev/null; then
    echo "   interchange: skipped: redis-server is not installed"
    exit 0
fi
read -r version base < <("$ours" -c 'import sys; print("%d.%d" % sys.version_info[:2], getattr(sys, "_base_executable", sys.executable))')
environment=$home/$version
mkdir -p "$home"
if [ ! -e "$environment/complete" ]; then
    rm -rf "$environment"
    # A short patience, because an index that is reached answers at once.
    if ! "$base" -m venv "$environment" ||
        ! timeout 240 "$environment/bin/python" -m pip install --quiet --timeout 10 --retries 1 --only-binary :all: \
            "$released" >"$home/pip.log" 2>&1; then
        echo "   interchange: skipped: the released package cannot be had (no package index, or none for Python $version)"
        exit 0
    fi
    # One by one: a case whose module one of them lacks is left out.
    for extra in orjson numpy pandas pyarrow; do
        if "$ours" -c "import $extra" 2>/dev/null; then
            timeout 120 "$environment/bin/python" -m pip install --quiet --timeout 10 --retries 1 --only-binary :all: \
                "$extra" >>"$home/pip.log" 2>&1 || true
        fi
    done
    touch "$environment/complete"
fi
exec "$ours" -B tests/interchange/check.py "$ours" "$environment/bin/python"
