#include "child.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <string_view>

#include "lorapress/error.h"

#include "system.h"

namespace lorapress::cli {
namespace {

using nlohmann::json;

// {"error": {"code": …, "message": …}} back to the exception.
[[noreturn]] void fail_as(const ChildEnd& end) {
  if (!end.killed_by.empty()) {
    throw Error(ErrorCode::kRuntime,
                fmt::format("the child process was ended by {}", end.killed_by));
  }
  const json document = json::parse(end.output, nullptr, false);
  if (document.is_object() && document.contains("error")) {
    const json& error = document["error"];
    for (const ErrorCodeRow& row : kErrorCodes) {
      if (error.value("code", "") == row.name) {
        throw Error(row.code, error.value("message", ""));
      }
    }
  }
  throw Error(ErrorCode::kRuntime,
              fmt::format("the child process failed with exit code {}", end.code));
}

}  // namespace

std::string run_self(const std::vector<std::string>& arguments,
                     const std::function<void()>& on_wake) {
  ChildEnd end = run_again(arguments, on_wake);
  if (end.code != 0 || !end.killed_by.empty()) {
    on_wake();  // Ctrl-C reaches both processes
    fail_as(end);
  }
  return std::move(end.output);
}

}  // namespace lorapress::cli
