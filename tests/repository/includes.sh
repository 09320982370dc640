#!/usr/bin/env bash
# includes.sh SOURCE_DIR: nothing climbs out of its directory, which would walk around the layers.
cd "$1" || exit 1
if grep -rnE '^[[:space:]]*#[[:space:]]*include[[:space:]]*["<]([^">]*/)?\.\./' --include='*.[ch]' \
    src include cli examples bench tests 2>/dev/null; then
    echo "an include may not use .." >&2
    exit 1
fi
if grep -rnE '^[[:space:]]*#[[:space:]]*include[[:space:]]*["<]/' --include='*.[ch]' src include 2>/dev/null; then
    echo "an include may not be absolute" >&2
    exit 1
fi
