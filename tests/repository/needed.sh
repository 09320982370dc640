#!/usr/bin/env bash
# needed.sh FILE...: what is shipped starts without the libraries that it loads only when they are wanted.
set -euo pipefail
for file in "$@"; do
    needed=$(readelf -dW "$file" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
    if grep -E '^lib(ssl|crypto|curl)\.' <<<"$needed"; then
        echo "$file needs these to start" >&2
        exit 1
    fi
done
