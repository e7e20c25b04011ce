# cmake -D PROGRAM=tests -D OUTPUT=tests.cmake -P DiscoverSuites.cmake
# Writes one CTest entry per GoogleTest suite. One per test would start the program hundreds of times.

execute_process(COMMAND ${PROGRAM} --gtest_list_tests OUTPUT_VARIABLE listing
                COMMAND_ERROR_IS_FATAL ANY)
string(REPLACE ";" " " listing "${listing}")
string(REPLACE "\n" ";" lines "${listing}")
set(entries "")
foreach(line IN LISTS lines)
  if(line MATCHES "^([A-Za-z0-9_/]+)\\.( .*)?$") # a suite; its tests are indented
    set(suite ${CMAKE_MATCH_1})
    string(APPEND entries "add_test([=[${suite}]=] [=[${PROGRAM}]=] [=[--gtest_filter=${suite}.*]=]\n"
                          "  --gtest_brief=1)\n"
                          "set_tests_properties([=[${suite}]=] PROPERTIES TIMEOUT 1800)\n")
  endif()
endforeach()
file(WRITE ${OUTPUT} "${entries}")
