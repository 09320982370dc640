# What every compiler run of this project is given.

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

add_library(ckit_flags INTERFACE)
target_compile_definitions(ckit_flags INTERFACE _GNU_SOURCE)
target_compile_options(ckit_flags INTERFACE
    -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition
    -Wpointer-arith -Wformat=2 -Wundef -Wvla -Wimplicit-fallthrough -Wnull-dereference -Wwrite-strings
    -fno-common)
if(CKIT_WERROR)
    target_compile_options(ckit_flags INTERFACE -Werror)
endif()
if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
    # gcc guesses about null at -O1 and with sanitizers, and is often wrong there.
    target_compile_options(ckit_flags INTERFACE -Wno-null-dereference -Wlogical-op -Wduplicated-cond)
endif()

if(CKIT_FUZZ)
    if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
        message(FATAL_ERROR "CKIT_FUZZ needs clang (use the preset `fuzz`)")
    endif()
    add_compile_options(-fsanitize=fuzzer-no-link)
endif()
if(CKIT_SANITIZE)
    add_compile_options(-fsanitize=${CKIT_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    add_link_options(-fsanitize=${CKIT_SANITIZE})
endif()
if(CKIT_SANITIZE MATCHES "address")
    add_library(ckit_asan_forks OBJECT "${PROJECT_SOURCE_DIR}/tests/support/asan_forks.c")
    target_sources(ckit_flags INTERFACE
        "$<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:$<TARGET_OBJECTS:ckit_asan_forks>>")
endif()
if(CKIT_COVERAGE)
    # Atomic, or threads lose counts and a branch is reported as taken -1 times.
    add_compile_options(--coverage -fprofile-update=atomic)
    add_link_options(--coverage)
endif()
if(CKIT_LTO)
    set(CMAKE_INTERPROCEDURAL_OPTIMIZATION ON)
endif()

# Measured programs and shipped libraries only: instrumented ones are not fit for either.
if(CKIT_SANITIZE OR CKIT_COVERAGE OR CKIT_FUZZ)
    set(CKIT_INSTRUMENTED ON)
else()
    set(CKIT_INSTRUMENTED OFF)
endif()
