# lp_ort: ONNX Runtime's headers. Its library is never linked, since a linked program runs with one
# version only; src/runtime/ort/ort.cc opens it with dlopen. LORAPRESS_ORT_DEFAULT_PATH is the last place to look.
# With LORAPRESS_ORT=OFF neither headers nor library are looked for, and src/runtime/ort/ort_absent.cc stands for ort.cc.

add_library(lp_ort INTERFACE)
if(LORAPRESS_ORT)
  find_path(ORT_INCLUDE_DIR onnxruntime_cxx_api.h HINTS ${LORAPRESS_DEPS}/onnxruntime/include
            PATH_SUFFIXES onnxruntime REQUIRED)
  file(GLOB ORT_LIBRARY ${LORAPRESS_DEPS}/onnxruntime/lib/libonnxruntime.so.*)
  target_include_directories(lp_ort SYSTEM INTERFACE ${ORT_INCLUDE_DIR})
  target_compile_definitions(lp_ort INTERFACE ORT_API_MANUAL_INIT
                                              LORAPRESS_ORT_DEFAULT_PATH="${ORT_LIBRARY}")
  target_link_libraries(lp_ort INTERFACE ${CMAKE_DL_LIBS})
endif()
