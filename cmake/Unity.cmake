# lp_unity(TARGET [ALONE FILE...]): the sources of one folder are compiled as one, so that their large headers (JSON, fmt, protobuf)
# are read and instantiated once: a build from nothing takes less than half. Sources with options of their own stay alone, as CMake
# leaves them out. Off (LORAPRESS_UNITY=OFF) in the presets for development, where one edit should compile one file, and where a
# missing #include then shows.

function(lp_unity target)
  if(NOT LORAPRESS_UNITY)
    return()
  endif()
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" ALONE)
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
  get_target_property(sources ${target} SOURCES)
  set(most 12) # files in one compiler call: two cores share the work, and memory stays below 1 GB
  foreach(source IN LISTS sources)
    if(NOT source MATCHES "/(src|cli)/.*\\.cc$") # tests that cross rooms share too many names
      continue()
    endif()
    cmake_path(GET source PARENT_PATH folder)
    cmake_path(GET folder FILENAME room)
    math(EXPR count_${room} "${count_${room}} + 1")
    math(EXPR part "(${count_${room}} - 1) / ${most}")
    set_source_files_properties(${source} PROPERTIES UNITY_GROUP ${room}_${part})
  endforeach()
  if(arg_ALONE)
    list(TRANSFORM arg_ALONE PREPEND ${CMAKE_SOURCE_DIR}/)
    set_source_files_properties(${arg_ALONE} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
  endif()
endfunction()
