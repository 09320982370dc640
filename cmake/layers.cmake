# Who may use whom: docs/architecture.md as a table. A component that is not allowed a row is a configure error, and
# a header outside the rows is not on its include path. Also included by a test in script mode: no targets here.

set(CKIT_MAY_USE_base "")
set(CKIT_MAY_USE_format base)
set(CKIT_MAY_USE_memory base format)
set(CKIT_MAY_USE_observe base format)
set(CKIT_MAY_USE_guard base format)
set(CKIT_MAY_USE_backend base format)
set(CKIT_MAY_USE_cache base format memory observe guard)
set(CKIT_MAY_USE_config base format memory observe guard cache backend)

# Headers of types only: every row sees them, and everything in ext/.
set(CKIT_OPEN_HEADERS types.h error.h)

# ckit_check_uses(<component> <used>...): stops the configuration when the picture forbids one of them. All backends
# are one row: they do not know each other.
function(ckit_check_uses component)
    string(REGEX REPLACE "^backend/.*" "backend" row "${component}")
    if(NOT DEFINED CKIT_MAY_USE_${row})
        message(FATAL_ERROR "component ${component} has no row in cmake/layers.cmake")
    endif()
    foreach(used IN LISTS ARGN)
        string(REGEX REPLACE "^backend/.*" "backend" used_row "${used}")
        if(NOT used_row IN_LIST CKIT_MAY_USE_${row})
            message(FATAL_ERROR "component ${component} may not use ${used} (cmake/layers.cmake)")
        endif()
    endforeach()
endfunction()
