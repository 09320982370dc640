# One list for the build, the installed CMake package and cachekit.pc.

pkg_check_modules(CKIT_LZ4 REQUIRED IMPORTED_TARGET liblz4>=1.9)
pkg_check_modules(CKIT_XXHASH REQUIRED IMPORTED_TARGET libxxhash>=0.8)
pkg_check_modules(CKIT_SODIUM REQUIRED IMPORTED_TARGET libsodium>=1.0.18)
pkg_check_modules(CKIT_JSONC REQUIRED IMPORTED_TARGET json-c>=0.15)
set(CKIT_PKG_NAMES liblz4 libxxhash libsodium json-c)
set(CKIT_PKG_TARGETS PkgConfig::CKIT_LZ4 PkgConfig::CKIT_XXHASH PkgConfig::CKIT_SODIUM PkgConfig::CKIT_JSONC)
