# cmake -D SOURCE=DIR -D OUTPUT=commit.h -P Commit.cmake
# Writes the commit of the source tree, "-dirty" after it where tracked files differ, for `lorapress --version --json`. $LORAPRESS_COMMIT is for
# sources without a repository. The file changes only when the commit does.

set(commit $ENV{LORAPRESS_COMMIT})
if(NOT commit)
  execute_process(COMMAND git -C ${SOURCE} rev-parse HEAD OUTPUT_VARIABLE commit ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(NOT commit)
    set(commit unknown)
  else()
    execute_process(COMMAND git -C ${SOURCE} diff --quiet HEAD RESULT_VARIABLE differs ERROR_QUIET)
    if(differs)
      string(APPEND commit -dirty)
    endif()
  endif()
endif()
file(CONFIGURE OUTPUT ${OUTPUT} CONTENT "#define LORAPRESS_COMMIT \"${commit}\"\n" @ONLY)
