# bin/lorapress, include/lorapress/*.h, and ONNX Runtime where the program looks for it: lib/lorapress/.

include(GNUInstallDirs)
if(TARGET lorapress_cli)
  install(TARGETS lorapress_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
install(DIRECTORY include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} OPTIONAL)
install(FILES ${ORT_LIBRARY} DESTINATION lib/lorapress)
install(FILES ${CMAKE_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
