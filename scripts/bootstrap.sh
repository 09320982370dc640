#!/usr/bin/env bash
# bootstrap.sh SET...: installs the Debian packages of the named sets that are missing, and nothing else.
# Quick and silent when nothing is missing. Needs root or sudo only when something is.
set -euo pipefail

packages_of() {
    case "$1" in
    build) echo gcc libc6-dev cmake ninja-build pkg-config liblz4-dev libxxhash-dev libsodium-dev libjson-c-dev libssl-dev ;;
    check) echo g++ git clang-14 libclang-rt-14-dev llvm-14 libcmocka-dev libuv1-dev util-linux python3 python3-dev \
        python3-pytest python3-venv groff-base zsh fish redis-server spin valgrind ;;
    bench) echo valgrind python3 python3-dev python3-venv redis-server libhiredis-dev ;;
    coverage) echo gcovr ;;
    format) echo clang-format-14 ;;
    lint) echo clang-tidy-14 ;;
    *)
        echo "bootstrap.sh: unknown set '$1' (build check bench coverage format lint)" >&2
        exit 2
        ;;
    esac
}

wanted=()
for set_name in "$@"; do
    names=$(packages_of "$set_name")
    read -r -a more <<<"$names"
    wanted+=("${more[@]}")
done

missing=()
if command -v dpkg-query >/dev/null; then
    for package in "${wanted[@]}"; do
        state=$(dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null || true)
        # pkg-config is a name that another package may provide.
        if ! grep -qx installed <<<"$state" && ! { [ "$package" = pkg-config ] && command -v pkg-config >/dev/null; }; then
            missing+=("$package")
        fi
    done
else
    echo "bootstrap.sh: this is not Debian (no dpkg-query). Please install what these packages contain, then" >&2
    echo "use the presets directly (cmake --preset release && cmake --build --preset release):" >&2
    echo "  ${wanted[*]}" >&2
    # The tools may be there all the same: let the build find out.
    command -v cmake >/dev/null && command -v ninja >/dev/null && exit 0
    exit 1
fi
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "bootstrap.sh: these packages are missing, and neither root nor sudo is at hand to install them:" >&2
        echo "  ${missing[*]}" >&2
        exit 1
    fi
    as_root=(sudo)
fi

apt() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 "$@" </dev/null
}
echo "Installing: ${missing[*]}"
# The lists may be fresh enough; fetch new ones only when they are not.
if ! apt install -y --no-install-recommends "${missing[@]}" >/dev/null 2>&1; then
    apt update
    apt install -y --no-install-recommends "${missing[@]}" >/dev/null
fi
