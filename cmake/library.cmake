# The two libraries made of all components, and their installation.

get_property(components GLOBAL PROPERTY CKIT_COMPONENTS)
set(objects "")
foreach(component IN LISTS components)
    get_property(target GLOBAL PROPERTY CKIT_TARGET_${component})
    list(APPEND objects $<TARGET_OBJECTS:${target}>)
endforeach()

add_library(cachekit SHARED ${objects})
add_library(cachekit_static STATIC ${objects})
set_target_properties(cachekit PROPERTIES
    VERSION ${PROJECT_VERSION}
    SOVERSION ${PROJECT_VERSION_MAJOR}
    LINK_DEPENDS "${PROJECT_SOURCE_DIR}/src/exported.map")
set_target_properties(cachekit_static PROPERTIES OUTPUT_NAME cachekit)

# The map keeps everything but ckit_* inside, also what a static dependency would bring along.
target_link_options(cachekit PRIVATE
    -Wl,--version-script=${PROJECT_SOURCE_DIR}/src/exported.map -Wl,-Bsymbolic-functions -Wl,--as-needed -Wl,-z,relro,-z,now)
if(NOT CKIT_SANITIZE AND NOT CKIT_FUZZ)
    target_link_options(cachekit PRIVATE -Wl,--no-undefined)
endif()

foreach(library IN ITEMS cachekit cachekit_static)
    set_target_properties(${library} PROPERTIES LINKER_LANGUAGE C)
    target_link_libraries(${library} PRIVATE ${CKIT_PKG_TARGETS} Threads::Threads m ${CMAKE_DL_LIBS})
    target_include_directories(${library} INTERFACE
        $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
        $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
    add_library(cachekit::${library} ALIAS ${library})
endforeach()

include(cmake/install.cmake)
