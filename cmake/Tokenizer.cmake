# lp_tokenizer: the Rust crate in tokenizer/, built by cargo into a static library.

find_program(CARGO cargo REQUIRED)
set(crate ${CMAKE_SOURCE_DIR}/tokenizer)
set(LORAPRESS_RUST_TARGET "" CACHE STRING "Rust's target triple, where the build is for another machine (packaging/)")
cmake_path(APPEND tokenizer_archive ${LORAPRESS_THIRD_PARTY}/cargo "${LORAPRESS_RUST_TARGET}" release/liblorapress_tokenizer.a)
cmake_path(NORMAL_PATH tokenizer_archive)
cmake_host_system_information(RESULT cores QUERY NUMBER_OF_LOGICAL_CORES)
set(cargo_arguments --release --locked --quiet --jobs ${cores} --manifest-path ${crate}/Cargo.toml
                    --target-dir ${LORAPRESS_THIRD_PARTY}/cargo)
if(LORAPRESS_RUST_TARGET)
  list(APPEND cargo_arguments --target ${LORAPRESS_RUST_TARGET})
endif()

add_library(lp_tokenizer STATIC IMPORTED)
set_target_properties(lp_tokenizer PROPERTIES IMPORTED_LOCATION ${tokenizer_archive})
target_include_directories(lp_tokenizer INTERFACE ${crate})
target_link_libraries(lp_tokenizer INTERFACE ${CMAKE_DL_LIBS} m)

if(NOT EXISTS ${tokenizer_archive} OR LORAPRESS_THIRD_PARTY STREQUAL CMAKE_BINARY_DIR)
  file(GLOB crate_sources CONFIGURE_DEPENDS ${crate}/src/*.rs)
  add_custom_command(
    OUTPUT ${tokenizer_archive}
    DEPENDS ${crate_sources} ${crate}/Cargo.toml ${crate}/Cargo.lock
    COMMAND ${CARGO} build ${cargo_arguments}
    COMMAND ${CMAKE_COMMAND} -E touch ${tokenizer_archive} # cargo may find nothing to do
    COMMENT "tokenizer (Rust)"
    VERBATIM)
  add_custom_target(tokenizer_crate DEPENDS ${tokenizer_archive})
  add_dependencies(lp_tokenizer tokenizer_crate)
endif()
