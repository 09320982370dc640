# The libraries the core stands on, and what the tests need.

set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
set(CKIT_PKG_MODE REQUIRED)
include("${CMAKE_CURRENT_LIST_DIR}/pkgconfig_libraries.cmake")

# Its headers, and the library for tests: what is shipped loads it when it needs it.
pkg_check_modules(CKIT_OPENSSL REQUIRED IMPORTED_TARGET libssl>=3.0 libcrypto>=3.0)

add_library(ckit_deps INTERFACE)
target_link_libraries(ckit_deps INTERFACE ${CKIT_PKG_TARGETS} Threads::Threads m ${CMAKE_DL_LIBS})

set(CKIT_WITH_TESTS OFF)
if(NOT CKIT_TESTS STREQUAL "OFF")
    if(CKIT_TESTS STREQUAL "AUTO")
        pkg_check_modules(CMOCKA QUIET IMPORTED_TARGET cmocka)
    else()
        pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)
    endif()
    if(CMOCKA_FOUND)
        set(CKIT_WITH_TESTS ON)
    endif()
endif()
