#!/usr/bin/env bash
# test.sh CC BUILD_DIR WORK_DIR PREFIX LIBDIR: installs everything under a DESTDIR, then builds and runs a foreign project
# with nothing but the installed files: through the CMake package and through pkg-config, both libraries; and the shared
# one once more where pkg-config knows no library but ours, as without the -dev packages of what is underneath. The tool
# runs from there, and its man pages and the completion of shells stand where they are looked for.
set -euo pipefail
cc=$1 build=$2 work=$3 prefix=$4 libdir=$5
here=$(cd "$(dirname "$0")" && pwd)

rm -rf "$work"
mkdir -p "$work"
root=$work/root
run() {
    if ! "$@" >"$work/log" 2>&1; then
        cat "$work/log" >&2
        exit 1
    fi
}

DESTDIR=$root run cmake --install "$build"

echo "-- CMake package"
# From elsewhere, so that nothing relative to the source tree can help.
cp -r "$here/foreign" "$work/foreign"
build_foreign() { # build_foreign NAME EXPECT_STATIC
    run cmake -S "$work/foreign" -B "$work/$1" -G Ninja -DCMAKE_C_COMPILER="$cc" \
        -DCMAKE_PREFIX_PATH="$root$prefix" -DEXPECT_STATIC="$2"
    run cmake --build "$work/$1"
    "$work/$1/greet"
}
build_foreign foreign-build 1
"$work/foreign-build/greet_static"
PKG_CONFIG_LIBDIR=$root$prefix/$libdir/pkgconfig build_foreign foreign-build-shared 0
[ ! -e "$work/foreign-build-shared/greet_static" ]

echo "-- pkg-config"
export PKG_CONFIG_SYSROOT_DIR=$root
export PKG_CONFIG_LIBDIR=$root$prefix/$libdir/pkgconfig
read -r -a flags < <(pkg-config --cflags --libs cachekit)
run "$cc" -std=c11 -Wall -Wextra -Werror "$work/foreign/greet.c" -o "$work/greet" "${flags[@]}"
LD_LIBRARY_PATH=$root$prefix/$libdir "$work/greet"
read -r -a flags < <(pkg-config --static --cflags --libs cachekit)
run "$cc" -std=c11 -Wall -Wextra -Werror "$work/foreign/greet.c" -o "$work/greet_static" \
    "${flags[@]/#-lcachekit/-l:libcachekit.a}"
"$work/greet_static"
[ "$(pkg-config --modversion cachekit)" = "$(sed -n 's/^Version: //p' "$build/package/cachekit.pc")" ]

echo "-- the tool"
installed=$root$prefix
tool=$installed/bin/cachekit
[ "$("$tool" version)" = "cachekit $(pkg-config --modversion cachekit)" ]
for i in first second; do
    HOME=$work/home XDG_CACHE_HOME='' "$tool" run -- sh -c "echo ran >>'$work/runs'; echo answer" >"$work/$i"
done
[ "$(cat "$work/first" "$work/second" "$work/runs")" = "$(printf 'answer\nanswer\nran')" ]
if ldd "$tool" | grep libcachekit; then
    echo "the tool needs the shared library" >&2
    exit 1
fi
while read -r command _; do
    [ -s "$installed/share/man/man1/cachekit-$command.1" ] || { echo "no man page of $command" >&2; exit 1; }
done < <("$tool" --help | sed -n '/^Commands:/,/^$/s/^  //p')
[ -s "$installed/share/man/man1/cachekit.1" ]
cmp <("$tool" completion bash) "$installed/share/bash-completion/completions/cachekit"
cmp <("$tool" completion zsh) "$installed/share/zsh/site-functions/_cachekit"
cmp <("$tool" completion fish) "$installed/share/fish/vendor_completions.d/cachekit.fish"

echo "-- another prefix"
run cmake --install "$build" --prefix "$work/elsewhere"
unset PKG_CONFIG_SYSROOT_DIR
named=$(PKG_CONFIG_PATH=$work/elsewhere/$libdir/pkgconfig pkg-config --variable=prefix cachekit)
[ "$named" = "$work/elsewhere" ] || { echo "cachekit.pc names the prefix $named" >&2; exit 1; }

echo "-- what was installed"
soname=$(objdump -p "$root$prefix/$libdir/libcachekit.so" | awk '$1 == "SONAME" { print $2 }')
[ "$soname" = libcachekit.so.0 ] || { echo "SONAME is $soname" >&2; exit 1; }
if grep -rn "$build" "$root$prefix/$libdir/cmake" "$root$prefix/$libdir/pkgconfig"; then
    echo "installed files mention the build directory" >&2
    exit 1
fi
