# lorapress_tests: one GoogleTest program of src/**/*_test.cc and tests/cc/*_test.cc; CTest gets one
# entry per suite. Scripts under tests/ are entries too, so one summary tells all.
# lorapress_core_tests: those of the rooms that read files and make numbers; `make sanitize` runs them.
# Nothing here is part of the default target; the target `checks` builds what CTest runs.

find_package(GTest REQUIRED)
add_custom_target(checks DEPENDS lorapress_cli)

# Test sources in one program. Those in ALONE share names with a neighbour, so they are compiled alone.
set(alone
    src/checkpoint/safetensors_test.cc src/quant/weight_scan_test.cc src/runtime/generation/sampling_test.cc
    src/runtime/generation/tokenizer_test.cc src/runtime/image/image_kinds_test.cc src/runtime/image/image_test.cc
    src/runtime/image/resize_test.cc src/schemes/float16_test.cc src/schemes/int8_test.cc)
function(set_up_tests target)
  target_include_directories(${target} PRIVATE src tests/cc)
  target_compile_definitions(${target} PRIVATE LORAPRESS_VERSION="${PROJECT_VERSION}"
                                               LORAPRESS_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  target_link_libraries(${target} PRIVATE lorapress lp_options lp_packages lp_ort lp_onnx lp_tokenizer
                                          GTest::gtest_main)
  target_compile_options(${target} PRIVATE $<$<CONFIG:Release>:-O1>) # a fifth less to compile
  if(LORAPRESS_SANITIZE) # what is looked at is the library: tests take a quarter of the time to compile so
    target_compile_options(${target} PRIVATE -O0 -fno-sanitize=undefined)
  endif()
endfunction()
function(add_test_program name) # of OBJECTS...
  add_executable(${name} EXCLUDE_FROM_ALL ${ARGN})
  set_target_properties(${name} PROPERTIES LINKER_LANGUAGE CXX)
  target_link_libraries(${name} PRIVATE lorapress lp_options lp_packages lp_ort lp_onnx lp_tokenizer
                                        GTest::gtest_main)
endfunction()

file(WRITE ${CMAKE_BINARY_DIR}/test_headers.cc "")
add_library(lp_test_headers OBJECT EXCLUDE_FROM_ALL ${CMAKE_BINARY_DIR}/test_headers.cc)
set_up_tests(lp_test_headers)
target_precompile_headers(lp_test_headers PRIVATE <algorithm> <filesystem> <fmt/format.h> <fmt/ranges.h>
                          <gtest/gtest.h> <nlohmann/json.hpp> <onnx/onnx-ml.pb.h> <span> <string> <vector>)

file(GLOB core_sources CONFIGURE_DEPENDS src/base/*_test.cc src/c_api/*_test.cc src/checkpoint/*_test.cc src/graph/*_test.cc
     src/quant/*_test.cc src/rewrite/*_test.cc src/schemes/*_test.cc src/weights/*_test.cc)
add_library(lp_core_tests OBJECT EXCLUDE_FROM_ALL ${core_sources})
set_up_tests(lp_core_tests)
lp_unity(lp_core_tests ALONE ${alone})
target_precompile_headers(lp_core_tests REUSE_FROM lp_test_headers)
add_test_program(lorapress_core_tests $<TARGET_OBJECTS:lp_core_tests>)

file(GLOB_RECURSE test_sources CONFIGURE_DEPENDS src/*_test.cc tests/cc/*_test.cc)
list(REMOVE_ITEM test_sources ${core_sources})
add_library(lp_other_tests OBJECT EXCLUDE_FROM_ALL ${test_sources})
set_up_tests(lp_other_tests)
lp_unity(lp_other_tests ALONE ${alone})
target_precompile_headers(lp_other_tests REUSE_FROM lp_test_headers)

add_test_program(lorapress_tests $<TARGET_OBJECTS:lp_core_tests> $<TARGET_OBJECTS:lp_other_tests>)
foreach(source IN LISTS core_sources test_sources) # each by itself, for the inner loop: FILE_test.cc is the target FILE_test
  cmake_path(GET source STEM name)
  add_library(lp_${name} OBJECT EXCLUDE_FROM_ALL ${source})
  set_up_tests(lp_${name})
  set_target_properties(lp_${name} PROPERTIES EXPORT_COMPILE_COMMANDS OFF) # clang-tidy has each file once
  target_precompile_headers(lp_${name} REUSE_FROM lp_test_headers)
  add_test_program(${name} $<TARGET_OBJECTS:lp_${name}>)
endforeach()
set(suites ${CMAKE_BINARY_DIR}/lorapress_tests.cmake)
add_custom_command(
  TARGET lorapress_tests POST_BUILD
  COMMAND ${CMAKE_COMMAND} -D PROGRAM=$<TARGET_FILE:lorapress_tests> -D OUTPUT=${suites} -P
          ${CMAKE_SOURCE_DIR}/cmake/DiscoverSuites.cmake
  BYPRODUCTS ${suites}
  VERBATIM)
# By way of a file that is always there: where only the core tests were built, CTest runs without the suites.
file(WRITE ${CMAKE_BINARY_DIR}/suites.cmake "include([=[${suites}]=] OPTIONAL)\n")
set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES ${CMAKE_BINARY_DIR}/suites.cmake)
add_dependencies(checks lorapress_tests)
if(LORAPRESS_SANITIZE)
  add_test(NAME core COMMAND lorapress_core_tests --gtest_brief=1)
  set_tests_properties(core PROPERTIES LABELS core TIMEOUT 1800)
endif()

# A script is run from the source folder as: SCRIPT PROGRAM. Exit status 77 means skipped.
# A script under a folder that needs the sanitized build or none of it looks at LORAPRESS_BUILD_DIR.
function(add_script_test name script)
  if(EXISTS ${CMAKE_SOURCE_DIR}/${script} AND NOT LORAPRESS_SANITIZE)
    add_test(NAME ${name} COMMAND bash ${CMAKE_SOURCE_DIR}/${script} ${CMAKE_BINARY_DIR}/lorapress
             WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    set_tests_properties(
      ${name} PROPERTIES LABELS script SKIP_RETURN_CODE 77 TIMEOUT 1800 ENVIRONMENT
                         "LORAPRESS=${CMAKE_BINARY_DIR}/lorapress;LORAPRESS_BUILD_DIR=${CMAKE_BINARY_DIR}")
  endif()
endfunction()

# Looked for at configure time; CMake runs again when a script appears.
file(GLOB test_scripts CONFIGURE_DEPENDS RELATIVE ${CMAKE_SOURCE_DIR} tests/*/run.sh)
foreach(script IN LISTS test_scripts)
  string(REGEX REPLACE "^tests/(.*)/run\\.sh$" "\\1" name ${script})
  add_script_test(${name} ${script})
endforeach()

# The long ones begin first, so that they do not run alone at the end; seconds on two cores.
foreach(cost e2e=160 oracle=60 web=130 bundlers=95 hostile=85 train=65 workflow=60 ray=25 cli=25 wasm=20 install=10)
  string(REPLACE "=" ";" cost ${cost})
  list(GET cost 0 name)
  list(GET cost 1 seconds)
  if(TEST ${name})
    set_tests_properties(${name} PROPERTIES COST ${seconds})
  endif()
endforeach()

# Both build web/build/demo.
foreach(name guide workflow)
  if(TEST ${name})
    set_tests_properties(${name} PROPERTIES RESOURCE_LOCK page)
  endif()
endforeach()

add_test(NAME check COMMAND bash tools/check.sh WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
set_tests_properties(check PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 900)

if(NOT LORAPRESS_SANITIZE)
  add_test(NAME tokenizer_crate COMMAND ${CARGO} test ${cargo_arguments})
  set_tests_properties(tokenizer_crate PROPERTIES TIMEOUT 900)
endif()
