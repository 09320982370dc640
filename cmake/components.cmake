# ckit_component: a directory of src/ as a build target that sees only what the layer picture allows.
#
#     ckit_component(format USES base HEADERS key.h msgpack.h SOURCES key.c TESTS key_test FUZZ key_fuzz)
#
#   USES     components whose private headers it may include as "base/thing.h", and whose public headers it may
#            include as <cachekit/thing.h>; checked against cmake/layers.cmake
#   HEADERS  public headers, relative to include/cachekit, that this component implements
#   SOURCES  its .c files
#   TESTS    foo_test: foo_test.c beside the code, run by CTest as <component>/foo
#   TEST_HELPERS  .c files linked into each of its tests and fuzz targets
#   SOAK     those of TESTS that do more when CKIT_SOAK is set in the environment: `make soak` runs them again
#   FUZZ     foo_fuzz: foo_fuzz.c beside the code, inputs in fuzz/corpus/foo/*.hex, run by CTest as fuzz/foo
#
# The include path of a component is a tree of symbolic links in the build directory, one for private and one for
# public headers, so a header that the picture forbids does not exist for the compiler.

include("${CMAKE_CURRENT_LIST_DIR}/layers.cmake")
set(CKIT_LAYERS_DIR "${PROJECT_BINARY_DIR}/layers")
set_property(GLOBAL PROPERTY CKIT_COMPONENTS "")
file(REMOVE_RECURSE "${CKIT_LAYERS_DIR}")

function(ckit_component component)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "USES;HEADERS;SOURCES;TESTS;TEST_HELPERS;SOAK;FUZZ")
    if(arg_UNPARSED_ARGUMENTS)
        message(FATAL_ERROR "ckit_component(${component}): what is ${arg_UNPARSED_ARGUMENTS}?")
    endif()
    ckit_check_uses(${component} ${arg_USES})

    string(REPLACE "/" "_" name "${component}")
    set(target ckit_${name})
    add_library(${target} OBJECT ${arg_SOURCES})
    set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE ON C_VISIBILITY_PRESET hidden)
    # Nobody replaces our functions one by one, so calls among them may be inlined in the shared library too.
    target_compile_options(${target} PRIVATE -fno-semantic-interposition)
    target_link_libraries(${target} PRIVATE ckit_flags ckit_deps)

    foreach(used IN ITEMS ${component} ${arg_USES})
        ckit_link("${PROJECT_SOURCE_DIR}/src/${used}" "${CKIT_LAYERS_DIR}/${component}/private/${used}")
    endforeach()
    target_include_directories(${target} PRIVATE ${CKIT_LAYERS_DIR}/${component}/private
                                                 ${CKIT_LAYERS_DIR}/${component}/public)

    set_property(GLOBAL APPEND PROPERTY CKIT_COMPONENTS ${component})
    set_property(GLOBAL PROPERTY CKIT_USES_${component} ${arg_USES})
    set_property(GLOBAL PROPERTY CKIT_HEADERS_${component} ${arg_HEADERS})
    set_property(GLOBAL PROPERTY CKIT_TARGET_${component} ${target})

    if(NOT CKIT_WITH_TESTS)
        return()
    endif()
    set(helpers "")
    if(arg_TEST_HELPERS)
        set(helpers ckit_${name}_test_helpers)
        ckit_test_objects(${helpers} ${arg_TEST_HELPERS})
        target_include_directories(${helpers} PRIVATE ${CKIT_LAYERS_DIR}/${component}/private
                                                      ${CKIT_LAYERS_DIR}/${component}/public)
    endif()
    foreach(test IN LISTS arg_TESTS)
        string(REGEX REPLACE "_test$" "" short "${test}")
        set(labels "")
        if(test IN_LIST arg_SOAK)
            set(labels soak)
        endif()
        ckit_test(${component}/${short} TARGET ${name}_${test} COMPONENT ${component} LABELS ${labels}
                  SOURCES ${test}.c LIBS ${helpers})
    endforeach()
    foreach(fuzz IN LISTS arg_FUZZ)
        ckit_fuzz_target(${component} ${fuzz})
        target_link_libraries(${fuzz} PRIVATE ${helpers})
    endforeach()
endfunction()

# ckit_test_objects(<target> sources...): what several test programs are linked with, compiled once.
function(ckit_test_objects target)
    add_library(${target} OBJECT ${ARGN})
    target_link_libraries(${target} PRIVATE ckit_flags ckit_deps ckit_test_support)
endfunction()

# ckit_test(<name in CTest> [TARGET t] [COMPONENT c] SOURCES ... [USES components...] [LIBS ...] [LABELS ...]
#           [TIMEOUT s]): a test program, linked with the static library, tests/support and cmocka.
#   COMPONENT  what the component sees, the test sees
#   USES       without COMPONENT: components whose private headers it may include; all public headers are visible
function(ckit_test name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "TARGET;COMPONENT;TIMEOUT" "SOURCES;USES;LIBS;LABELS")
    if(NOT arg_TARGET)
        string(REPLACE "/" "_" arg_TARGET "${name}_test")
    endif()
    add_executable(${arg_TARGET} ${arg_SOURCES})
    target_link_libraries(${arg_TARGET} PRIVATE ckit_flags ckit_deps ckit_test_main ${arg_LIBS} cachekit_static)
    if(arg_COMPONENT)
        target_include_directories(${arg_TARGET} PRIVATE ${CKIT_LAYERS_DIR}/${arg_COMPONENT}/private
                                                         ${CKIT_LAYERS_DIR}/${arg_COMPONENT}/public)
    else()
        ckit_private_includes(${arg_TARGET} ${arg_USES})
    endif()
    add_test(NAME ${name} COMMAND ${arg_TARGET})
    set_tests_properties(${name} PROPERTIES LABELS "${arg_LABELS}"
                         ENVIRONMENT "CKIT_SCRATCH=${PROJECT_BINARY_DIR}/scratch")
    # Otherwise the limit of the preset (900 s) or of the command line counts.
    if(arg_TIMEOUT)
        set_tests_properties(${name} PROPERTIES TIMEOUT ${arg_TIMEOUT})
    endif()
endfunction()

# ckit_private_includes(<target> <component>...): lets a program outside src/ (a scenario test, a benchmark) include
# "memory/thing.h" of the named components, and every public header. It must link cachekit_static.
function(ckit_private_includes target)
    set(dir "${CKIT_LAYERS_DIR}/.programs/${target}")
    foreach(used IN LISTS ARGN)
        ckit_link("${PROJECT_SOURCE_DIR}/src/${used}" "${dir}/${used}")
    endforeach()
    if(ARGN)
        target_include_directories(${target} PRIVATE ${dir})
    endif()
    target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/include)
endfunction()

# The fuzz target of a component.
function(ckit_fuzz_target component fuzz)
    ckit_fuzz_program(${fuzz} ${fuzz}.c ${ARGN})
    target_include_directories(${fuzz} PRIVATE ${CKIT_LAYERS_DIR}/${component}/private
                                               ${CKIT_LAYERS_DIR}/${component}/public)
endfunction()

# ckit_fuzz_program(thing_fuzz sources...): a libFuzzer executable in the fuzz build, and elsewhere an ordinary test that
# walks its corpus, fuzz/corpus/thing/*.hex.
function(ckit_fuzz_program fuzz)
    string(REGEX REPLACE "_fuzz$" "" short "${fuzz}")
    add_executable(${fuzz} ${ARGN})
    target_link_libraries(${fuzz} PRIVATE ckit_flags ckit_deps ckit_test_support cachekit_static)
    target_compile_options(${fuzz} PRIVATE -Wno-missing-prototypes)
    if(CKIT_FUZZ)
        target_link_options(${fuzz} PRIVATE -fsanitize=fuzzer)
        set_target_properties(${fuzz} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/fuzzers)
        return()
    endif()
    target_link_libraries(${fuzz} PRIVATE ckit_fuzz_driver)
    add_test(NAME fuzz/${short} COMMAND ${fuzz} ${PROJECT_SOURCE_DIR}/fuzz/corpus/${short})
    set_tests_properties(fuzz/${short} PROPERTIES LABELS soak
                         ENVIRONMENT "CKIT_SCRATCH=${PROJECT_BINARY_DIR}/scratch")
endfunction()

# Fills the public half of every include path, once all owners are known.
function(ckit_finish_components)
    get_property(components GLOBAL PROPERTY CKIT_COMPONENTS)
    set(public "${PROJECT_SOURCE_DIR}/include/cachekit")
    set(owned "")
    set(rows "")
    foreach(component IN LISTS components)
        get_property(headers GLOBAL PROPERTY CKIT_HEADERS_${component})
        foreach(header IN LISTS headers)
            if(NOT EXISTS "${public}/${header}")
                message(FATAL_ERROR "${component} owns include/cachekit/${header}, which does not exist")
            elseif(header IN_LIST owned)
                message(FATAL_ERROR "include/cachekit/${header} has two owners, ${component} is one")
            endif()
            list(APPEND owned ${header})
        endforeach()

        get_property(uses GLOBAL PROPERTY CKIT_USES_${component})
        set(dir "${CKIT_LAYERS_DIR}/${component}/public/cachekit")
        foreach(header IN ITEMS ${CKIT_OPEN_HEADERS} ext ${headers})
            ckit_link("${public}/${header}" "${dir}/${header}")
        endforeach()
        foreach(used IN LISTS uses)
            get_property(used_headers GLOBAL PROPERTY CKIT_HEADERS_${used})
            foreach(header IN LISTS used_headers)
                ckit_link("${public}/${header}" "${dir}/${header}")
            endforeach()
        endforeach()
        list(JOIN uses " " uses)
        list(JOIN headers " " headers)
        string(APPEND rows "${component}|${uses}|${headers}\n")
    endforeach()
    # For the test that tries what each component can include.
    file(WRITE "${CKIT_LAYERS_DIR}/rows.txt" "${rows}")
endfunction()

function(ckit_link from to)
    get_filename_component(dir "${to}" DIRECTORY)
    file(MAKE_DIRECTORY "${dir}")
    file(CREATE_LINK "${from}" "${to}" SYMBOLIC)
endfunction()
