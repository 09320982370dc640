#!/usr/bin/env bash
# rust.sh PRESET: entries, envelopes, names and sealed bytes, exchanged with the released Rust crates in both directions.
# Without cargo or its registry one line says so.
set -euo pipefail
cd "$(dirname "$0")/../.."
readonly preset=$1 target=$PWD/build/interchange/rust log=$PWD/build/interchange/rust.log

if ! command -v cargo >/dev/null; then
    echo "interchange: skipped: cargo is not installed"
    exit 0
fi
mkdir -p "$target"
# Beside the sources cargo would leave a lock file.
cp -r tests/interchange/rust/Cargo.toml tests/interchange/rust/src "$target"
if ! timeout 1200 cargo build --quiet --jobs "${JOBS:-$(nproc)}" --manifest-path "$target/Cargo.toml" >"$log" 2>&1; then
    if timeout 60 cargo fetch --quiet --manifest-path "$target/Cargo.toml" >/dev/null 2>&1; then
        cat "$log" >&2
        exit 1
    fi
    echo "interchange: skipped: the crates cannot be had (no registry is reached)"
    exit 0
fi
scripts/build.sh "$preset" interchange_rust_test
test=$(find "build/$preset" -type f -name interchange_rust_test)
CKIT_RUST_PEER=$target/target/debug/interchange CKIT_SCRATCH=$PWD/build/$preset/scratch "$test"
