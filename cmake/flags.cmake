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
# What their allocators need around a fork, in every program.
if(CKIT_SANITIZE MATCHES "(address|thread)")
    string(SUBSTRING "${CMAKE_MATCH_1}" 0 1 which)
    set(forks "${PROJECT_SOURCE_DIR}/tests/support/${which}san_forks.c")
    add_library(ckit_sanitizer_forks OBJECT "${forks}")
    target_compile_options(ckit_sanitizer_forks PRIVATE -fno-sanitize=all)
    file(STRINGS "${forks}" symbols REGEX "^THROUGH_GATE")
    list(TRANSFORM symbols REPLACE ".*\"(.*)\".*" "-Wl,--wrap=\\1")
    set(program $<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>)
    target_sources(ckit_flags INTERFACE "$<${program}:$<TARGET_OBJECTS:ckit_sanitizer_forks>>")
    target_link_options(ckit_flags INTERFACE "$<${program}:${symbols}>")
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
