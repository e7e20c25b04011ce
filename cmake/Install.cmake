# What `cmake --install` leaves for programs in C++: include/lorapress/, lib/liblorapress.a, a CMake package that defines
# lorapress::lorapress (examples/cpp) and lorapress.pc. Beside them bin/lorapress. lib/lorapress/ holds what either needs and nobody else
# names: ONNX Runtime, where the program and the package's rpath look for it, and the archives behind the library. All of it may be moved.

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(lorapress_private lib/lorapress) # src/runtime/ort/ort.cc looks in bin/../lib/lorapress
set(lorapress_cmake ${CMAKE_INSTALL_LIBDIR}/cmake/lorapress)
# What the archives are linked with, by pkg-config names: the twin of cmake/Packages.cmake without what is header only.
set(lorapress_modules fmt libexif libjpeg libmicrohttpd libpcre2-8 libpcre2-32 libpng libtiff-4 libwebp libwebpdemux libwebpmux protobuf)
string(REPLACE ";" " " lorapress_modules "${lorapress_modules}")

if(TARGET lorapress_cli)
  install(TARGETS lorapress_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
install(TARGETS lorapress ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(TARGET lorapress_c)
  install(TARGETS lorapress_c LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
install(FILES $<TARGET_FILE:lp_onnx> $<TARGET_FILE:lp_tokenizer> DESTINATION ${lorapress_private})
if(LORAPRESS_ORT)
  install(FILES ${ORT_LIBRARY} DESTINATION ${lorapress_private} RENAME libonnxruntime.so.1) # its soname
endif()
install(DIRECTORY include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY web/build/demo/ DESTINATION share/lorapress/page OPTIONAL) # `make page`; src/api/deploy.cc looks there
install(FILES ${CMAKE_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

configure_package_config_file(
  ${CMAKE_CURRENT_LIST_DIR}/lorapressConfig.cmake.in ${CMAKE_BINARY_DIR}/lorapressConfig.cmake INSTALL_DESTINATION ${lorapress_cmake}
  PATH_VARS CMAKE_INSTALL_INCLUDEDIR CMAKE_INSTALL_LIBDIR lorapress_private NO_CHECK_REQUIRED_COMPONENTS_MACRO)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/lorapressConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/lorapressConfig.cmake ${CMAKE_BINARY_DIR}/lorapressConfigVersion.cmake DESTINATION ${lorapress_cmake})

file(RELATIVE_PATH lorapress_prefix /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(${CMAKE_CURRENT_LIST_DIR}/lorapress.pc.in ${CMAKE_BINARY_DIR}/lorapress.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/lorapress.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
