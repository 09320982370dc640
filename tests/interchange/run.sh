#!/usr/bin/env bash
# run.sh INTERPRETER: entries in a Redis server, exchanged with released packages for Python in both directions. The
# interpreter is one that imports this package; each release gets an environment of its own in build/interchange, which
# finds the serializers' modules that the interpreter has. Without redis-server or a package index one line says so.
set -uo pipefail
cd "$(dirname "$0")/../.."

# The release whose keys and entries docs/formats.md describes, and a later one.
readonly releases=(0.17.1 0.24.1) ours=$1 home=$PWD/build/interchange
unset PYTHONHOME VIRTUAL_ENV "${!CACHEKIT_@}" REDIS_URL
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

if ! command -v redis-server >/dev/null; then
    echo "   interchange: skipped: redis-server is not installed"
    exit 0
fi
read -r version base < <("$ours" -c 'import sys; print("%d.%d" % sys.version_info[:2], getattr(sys, "_base_executable", sys.executable))')

# A short patience, because an index that is reached answers at once.
install() { # install RELEASE: in $home/VERSION-RELEASE
    local environment=$home/$version-$1
    [ -e "$environment/complete" ] && return
    rm -rf "$environment"
    "$base" -m venv "$environment" || return
    timeout 240 "$environment/bin/python" -m pip install --quiet --timeout 10 --retries 1 --only-binary :all: \
        "cachekit==$1" >"$environment/pip.log" 2>&1 && touch "$environment/complete"
}

mkdir -p "$home"
# What an environment has itself, the package first of all, comes before these.
extras=$("$ours" -c '
import importlib.util, os
found = [importlib.util.find_spec(name) for name in ("orjson", "numpy", "pandas", "pyarrow")]
print(*dict.fromkeys(os.path.dirname(os.path.dirname(spec.origin)) for spec in found if spec), sep="\n")')
released=()
for release in "${releases[@]}"; do
    install "$release" &
done
wait
for release in "${releases[@]}"; do
    if [ -e "$home/$version-$release/complete" ]; then
        echo "$extras" >"$(echo "$home/$version-$release"/lib/python*/site-packages)/extras.pth"
        released+=("$home/$version-$release/bin/python")
    else
        echo "   interchange: skipped: release $release cannot be had (no package index, or none for Python $version)"
    fi
done
[ ${#released[@]} -gt 0 ] || exit 0
exec "$ours" -B tests/interchange/check.py "$ours" "${released[@]}"
