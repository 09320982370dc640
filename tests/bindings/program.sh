#!/usr/bin/env bash
# program.sh CXX SOURCE_DIR LIBRARY_DIR: builds the C++ program with every warning and runs it.
set -euo pipefail
cxx=$1 source=$2 library=$3
program=$(mktemp)
trap 'rm -f "$program"' EXIT
"$cxx" -std=c++17 -Wall -Wextra -Wpedantic -Werror -I "$source/include" "$source/tests/bindings/program.cc" \
    -L "$library" -Wl,-rpath,"$library" -lcachekit -o "$program"
"$program"
