// The one exception type of the library; nothing else is thrown on purpose. The program turns it
// into one line and exit code 2. A message that is about the call's options names their fields,
// as in "options.num_beams 99, expected 1 to 64"; the program prints these as flags.
#ifndef LORAPRESS_ERROR_H_
#define LORAPRESS_ERROR_H_

#include <array>
#include <stdexcept>
#include <string>
#include <string_view>

namespace lorapress {

enum class ErrorCode {
  kInvalidArgument,  // an option or a call that makes no sense
  kNotFound,         // a file, folder or tensor that should be there
  kExists,           // an output that would be overwritten
  kInvalidFile,      // a file whose bytes break its format
  kUnsupported,      // a valid file that asks for something this version cannot do
  kMismatch,         // two files that do not belong together
  kIo,               // the operating system refused (disk full, permission, device)
  kRuntime,          // ONNX Runtime failed, or a result was wrong
};

struct ErrorCodeRow {
  ErrorCode code;
  std::string_view name;  // as in `--json` output
};

inline constexpr std::array kErrorCodes = {
    ErrorCodeRow{ErrorCode::kInvalidArgument, "invalid_argument"},
    ErrorCodeRow{ErrorCode::kNotFound, "not_found"},
    ErrorCodeRow{ErrorCode::kExists, "exists"},
    ErrorCodeRow{ErrorCode::kInvalidFile, "invalid_file"},
    ErrorCodeRow{ErrorCode::kUnsupported, "unsupported"},
    ErrorCodeRow{ErrorCode::kMismatch, "mismatch"},
    ErrorCodeRow{ErrorCode::kIo, "io"},
    ErrorCodeRow{ErrorCode::kRuntime, "runtime"},
};

// what() is one line: what is wrong, where (file, tensor), expected against found, what to do.
class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  [[nodiscard]] ErrorCode code() const noexcept { return code_; }
  [[nodiscard]] std::string_view code_name() const noexcept {
    return kErrorCodes[static_cast<size_t>(code_)].name;
  }

 private:
  ErrorCode code_;
};

}  // namespace lorapress

#endif  // LORAPRESS_ERROR_H_
