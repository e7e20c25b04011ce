// fail(): throws lorapress::Error with a formatted one-line message.
#ifndef LORAPRESS_BASE_FAIL_H_
#define LORAPRESS_BASE_FAIL_H_

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <string>
#include <system_error>
#include <utility>

#include "lorapress/error.h"

namespace lorapress {

template <typename... Args>
[[noreturn]] void fail(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(code, fmt::format(format, std::forward<Args>(args)...));
}

// What an errno means, as in "No space left on device".
inline std::string error_text(int error) {
  return std::error_code(error, std::generic_category()).message();
}

}  // namespace lorapress

#endif  // LORAPRESS_BASE_FAIL_H_
