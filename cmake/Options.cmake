# lp_options: how the project's own code is compiled. Third-party code takes only the global settings.

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
# -O2, as the loops that matter carry target_clones; -g0 keeps builds small and quick.
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")
set(CMAKE_CXX_FLAGS_DEBUG "-O1 -g -fno-omit-frame-pointer")
# Without fused multiply-add, clones for different CPUs round alike: same input, same file everywhere.
add_compile_options(-ffp-contract=off -ffunction-sections -fdata-sections)
if(APPLE)
  add_link_options(-Wl,-dead_strip)
  set(CMAKE_CXX_VISIBILITY_PRESET hidden) # as src/c_api/exports.map does elsewhere
  set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
  set(CMAKE_SHARED_LIBRARY_RUNTIME_C_FLAG "-Wl,-rpath,") # CMake leaves these empty where it knows no SDK
  set(CMAKE_SHARED_LIBRARY_RUNTIME_CXX_FLAG "-Wl,-rpath,")
  set(CMAKE_EXECUTABLE_RUNTIME_CXX_FLAG "-Wl,-rpath,")
else()
  add_link_options(-Wl,--gc-sections)
endif()

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()

add_library(lp_options INTERFACE)
target_compile_options(lp_options INTERFACE -Wall -Wextra -Wpedantic -Wconversion -Wshadow
                                            $<$<BOOL:${LORAPRESS_WERROR}>:-Werror>)
if(LORAPRESS_UNITY) # these two speak of neighbours in a compiler call; without it, as in the preset `dev`, they are on
  target_compile_options(lp_options INTERFACE -Wno-shadow -Wno-subobject-linkage)
endif()
if(LORAPRESS_SANITIZE)
  set(sanitize_flags -g1 -fsanitize=${LORAPRESS_SANITIZE} -fno-sanitize-recover=all)
  target_compile_options(lp_options INTERFACE ${sanitize_flags})
  target_link_options(lp_options INTERFACE ${sanitize_flags})
endif()
