# lorapress_tests: one GoogleTest program of src/<room>/*_test.cc and tests/cc/*_test.cc; CTest gets one
# entry per suite. Scripts under tests/ are entries too, so one summary tells all.

find_package(GTest REQUIRED)
file(GLOB test_sources CONFIGURE_DEPENDS src/*/*_test.cc tests/cc/*_test.cc)
if(test_sources)
  add_executable(lorapress_tests ${test_sources})
  target_include_directories(lorapress_tests PRIVATE src tests/cc)
  target_compile_definitions(lorapress_tests PRIVATE LORAPRESS_VERSION="${PROJECT_VERSION}"
                                                     LORAPRESS_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  target_link_libraries(lorapress_tests PRIVATE lorapress lp_options lp_packages lp_ort lp_onnx
                                                lp_tokenizer GTest::gtest_main)
  target_precompile_headers(lorapress_tests PRIVATE <algorithm> <filesystem> <fmt/format.h> <gtest/gtest.h>
                            <nlohmann/json.hpp> <onnx/onnx-ml.pb.h> <span> <string> <vector>)
  target_compile_options(lorapress_tests PRIVATE $<$<CONFIG:Release>:-O1>) # a fifth less to compile
  if(LORAPRESS_SANITIZE) # what is looked at is the library: tests take a quarter of the time to compile so
    target_compile_options(lorapress_tests PRIVATE -O0 -fno-sanitize=undefined)
  endif()
  set(suites ${CMAKE_BINARY_DIR}/lorapress_tests.cmake)
  add_custom_command(
    TARGET lorapress_tests POST_BUILD
    COMMAND ${CMAKE_COMMAND} -D PROGRAM=$<TARGET_FILE:lorapress_tests> -D OUTPUT=${suites} -P
            ${CMAKE_SOURCE_DIR}/cmake/DiscoverSuites.cmake
    BYPRODUCTS ${suites}
    VERBATIM)
  set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES ${suites})
endif()

# A script is run from the source folder as: SCRIPT PROGRAM. Exit status 77 means skipped.
# A script under a folder that needs the sanitized build or none of it looks at LORAPRESS_BUILD_DIR.
function(add_script_test name script)
  if(EXISTS ${CMAKE_SOURCE_DIR}/${script} AND NOT LORAPRESS_SANITIZE)
    add_test(NAME ${name} COMMAND bash ${CMAKE_SOURCE_DIR}/${script} ${CMAKE_BINARY_DIR}/lorapress
             WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    set_tests_properties(
      ${name} PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 900 ENVIRONMENT
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
foreach(cost web=230 oracle=190 hostile=120 e2e=100 bundlers=80)
  string(REPLACE "=" ";" cost ${cost})
  list(GET cost 0 name)
  list(GET cost 1 seconds)
  if(TEST ${name})
    set_tests_properties(${name} PROPERTIES COST ${seconds})
  endif()
endforeach()

add_test(NAME check COMMAND bash tools/check.sh WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
set_tests_properties(check PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 900)

if(NOT LORAPRESS_SANITIZE)
  add_test(NAME tokenizer_crate COMMAND ${CARGO} test ${cargo_arguments})
  set_tests_properties(tokenizer_crate PROPERTIES TIMEOUT 900)
endif()
