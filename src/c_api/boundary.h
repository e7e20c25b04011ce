// The edge of the C ABI: the one place where exceptions become codes and one-line messages.
#ifndef LORAPRESS_C_API_BOUNDARY_H_
#define LORAPRESS_C_API_BOUNDARY_H_

#include <functional>
#include <string>
#include <string_view>

#include "lorapress/c_api.h"
#include "lorapress/progress.h"

#include "c_api/options.h"

namespace lorapress::c_api {

// Runs `work` with the parsed options; what it throws goes into *error, and its code is returned.
int32_t guarded(const char* options,
                lorapress_error* error,
                const std::function<void(Options&)>& work);

// The callback as the library calls it. It throws what guarded() turns into LORAPRESS_CANCELLED.
ProgressFn to_progress(lorapress_progress_fn progress, void* user);

// Blanks in place of line breaks and other control characters, as names of files may have them.
std::string one_line(std::string text);

// A copy for the caller, for lorapress_free_text(). Throws std::bad_alloc.
char* hand_out(std::string_view text);

// Throws kInvalidArgument for null.
void require_pointer(const void* pointer, const char* name);

}  // namespace lorapress::c_api

#endif  // LORAPRESS_C_API_BOUNDARY_H_
