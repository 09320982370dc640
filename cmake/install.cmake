# Headers, libraries, cachekit.pc and the CMake package.

include(CMakePackageConfigHelpers)

# Two sets, because only the static library makes its users find the libraries underneath.
install(TARGETS cachekit EXPORT cachekitTargets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS cachekit_static EXPORT cachekitStaticTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/cachekit DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/cachekit)
install(EXPORT cachekitTargets NAMESPACE cachekit:: DESTINATION ${package_dir})
install(EXPORT cachekitStaticTargets NAMESPACE cachekit:: DESTINATION ${package_dir})
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
# Flags instead of Requires.private: that would make every user of the shared library install -dev packages.
set(private ${CKIT_PKG_LDFLAGS} -pthread -lm -ldl)
list(REMOVE_DUPLICATES private)
list(TRANSFORM CMAKE_C_IMPLICIT_LINK_DIRECTORIES PREPEND "-L" OUTPUT_VARIABLE system)
list(REMOVE_ITEM private ${system})
list(JOIN private " " CKIT_PC_PRIVATE)
configure_file(cmake/cachekit.pc.in ${PROJECT_BINARY_DIR}/package/cachekit.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/package/cachekit.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
# `cmake --install ... --prefix` may name another prefix than the configuration did.
install(CODE "
    get_filename_component(pc \"${CMAKE_INSTALL_LIBDIR}/pkgconfig/cachekit.pc\" ABSOLUTE
                           BASE_DIR \"\${CMAKE_INSTALL_PREFIX}\")
    file(READ \"\$ENV{DESTDIR}\${pc}\" text)
    string(REGEX REPLACE \"^prefix=[^\n]*\" \"prefix=\${CMAKE_INSTALL_PREFIX}\" text \"\${text}\")
    file(WRITE \"\$ENV{DESTDIR}\${pc}\" \"\${text}\")
")
