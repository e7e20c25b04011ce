# lp_onnx: protobuf classes, checker and shape inference, from the sources in ONNX's own wheel.
# Its CMakeLists asks for a newer CMake than Debian 12's. inliner/ and version_converter/ are needed to link.

set(onnx_root ${LORAPRESS_DEPS}/onnx)
set(onnx_archive ${LORAPRESS_THIRD_PARTY}/liblp_onnx.a)
set(onnx_gen ${LORAPRESS_THIRD_PARTY}/onnx_gen)

if(EXISTS ${onnx_archive} AND NOT LORAPRESS_THIRD_PARTY STREQUAL CMAKE_BINARY_DIR)
  add_library(lp_onnx STATIC IMPORTED)
  set_target_properties(lp_onnx PROPERTIES IMPORTED_LOCATION ${onnx_archive})
  set(onnx_scope INTERFACE)
else()
  set(onnx_gen ${CMAKE_BINARY_DIR}/onnx_gen)
  set(onnx_protos onnx-ml onnx-data onnx-operators-ml)
  list(TRANSFORM onnx_protos REPLACE "(.+)" "${onnx_gen}/onnx/\\1.pb.cc" OUTPUT_VARIABLE onnx_pb)
  list(TRANSFORM onnx_protos REPLACE "(.+)" "onnx/\\1.proto")
  file(MAKE_DIRECTORY ${onnx_gen})
  add_custom_command(
    OUTPUT ${onnx_pb}
    COMMAND protobuf::protoc -I${onnx_root} --cpp_out=${onnx_gen} ${onnx_protos}
    COMMENT "ONNX protobuf classes"
    VERBATIM)
  file(GLOB_RECURSE onnx_sources ${onnx_root}/onnx/*.cc)
  list(FILTER onnx_sources EXCLUDE REGEX "cpp2py_export|/test/|/backend/")
  add_library(lp_onnx STATIC ${onnx_sources} ${onnx_pb})
  target_compile_options(lp_onnx PRIVATE -O1 -w) # -O0 compiles 16 s faster, but every export builds the schemas in 60 ms, not 30, and the program is 7 MB larger
  # Many small sources with the same large headers: few compiler calls take a third of the time.
  # Left out are files that specialise templates which others instantiate.
  set(onnx_alone defs/tensor_proto_util.cc defs/schema.cc)
  if(WIN32) # their system's header defines names of other sources
    list(APPEND onnx_alone checker.cc defs/parser.cc)
    if(NOT CMAKE_HOST_WIN32) # where case counts, it is not Windows.h
      file(CONFIGURE OUTPUT ${onnx_gen}/Windows.h CONTENT "#include <windows.h>\n")
    endif()
  endif()
  list(TRANSFORM onnx_alone PREPEND ${onnx_root}/onnx/)
  set_target_properties(lp_onnx PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 20)
  set_source_files_properties(${onnx_pb} ${onnx_alone} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
  set(onnx_scope PUBLIC)
endif()

target_include_directories(lp_onnx SYSTEM ${onnx_scope} ${onnx_root} ${onnx_gen})
target_compile_definitions(lp_onnx ${onnx_scope} ONNX_NAMESPACE=onnx ONNX_ML=1)
target_link_libraries(lp_onnx ${onnx_scope} protobuf::libprotobuf)
