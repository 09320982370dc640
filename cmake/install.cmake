# Headers, libraries, cachekit.pc and the CMake package.

include(CMakePackageConfigHelpers)

install(TARGETS cachekit cachekit_static EXPORT cachekitTargets
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/cachekit DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/cachekit)
install(EXPORT cachekitTargets NAMESPACE cachekit:: DESTINATION ${package_dir})
configure_package_config_file(cmake/cachekitConfig.cmake.in ${PROJECT_BINARY_DIR}/package/cachekitConfig.cmake
                              INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/package/cachekitConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/package/cachekitConfig.cmake
              ${PROJECT_BINARY_DIR}/package/cachekitConfigVersion.cmake
              cmake/pkgconfig_libraries.cmake
        DESTINATION ${package_dir})

# An absolute directory given by a packager is taken as it is; the usual relative ones stay relative to the prefix.
foreach(dir IN ITEMS LIBDIR INCLUDEDIR)
    if(IS_ABSOLUTE "${CMAKE_INSTALL_${dir}}")
        set(CKIT_PC_${dir} "${CMAKE_INSTALL_${dir}}")
    else()
        set(CKIT_PC_${dir} "\${prefix}/${CMAKE_INSTALL_${dir}}")
    endif()
endforeach()
list(JOIN CKIT_PKG_NAMES " " CKIT_PC_REQUIRES)
configure_file(cmake/cachekit.pc.in ${PROJECT_BINARY_DIR}/package/cachekit.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/package/cachekit.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
