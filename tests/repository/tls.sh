#!/usr/bin/env bash
# tls.sh LIBRARY: a program that loads the library late (a plug-in, a module of Python) finds room for few bytes of
# thread-local variables: glibc keeps some 1600 for all libraries together.
set -euo pipefail
size=$(($(readelf -lW "$1" | awk '$1 == "TLS" { print $6 }')))
echo "thread-local variables: $size bytes"
[ "$size" -le 512 ]
