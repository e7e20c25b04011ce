// Instead of ort.cc in a build without ONNX Runtime (CMake option LORAPRESS_ORT=OFF): every session is refused.
#include "base/fail.h"
#include "runtime/ort/ort.h"

namespace lorapress {
namespace {

[[noreturn]] void refuse() {
  fail(
      ErrorCode::kUnsupported,
      "this program was built without ONNX Runtime (LORAPRESS_ORT=OFF); install one that was built with it, "
      "or take options.engine native");
}

}  // namespace

struct OrtSession::Impl {};
struct OrtBinding::Impl {};

OrtSession::OrtSession(const std::filesystem::path& /*model*/, unsigned /*threads*/) {
  refuse();
}
OrtSession::OrtSession(std::span<const std::byte> /*bytes*/,
                       const std::filesystem::path& /*model*/,
                       unsigned /*threads*/) {
  refuse();
}
OrtSession::~OrtSession() = default;
OrtSession::OrtSession(OrtSession&&) noexcept = default;
const std::vector<OrtPort>& OrtSession::inputs() const {
  refuse();
}
const std::vector<OrtPort>& OrtSession::outputs() const {
  refuse();
}
std::vector<OrtTensor> OrtSession::run(const std::vector<Feed>& /*feeds*/,
                                       const std::vector<std::string>& /*wanted*/) const {
  refuse();
}

OrtBinding::OrtBinding(const OrtSession& /*session*/) {
  refuse();
}
OrtBinding::~OrtBinding() = default;
OrtBinding::OrtBinding(OrtBinding&&) noexcept = default;
void OrtBinding::input(const std::string& /*name*/, const OrtTensor& /*tensor*/) {
  refuse();
}
void OrtBinding::output(const std::string& /*name*/, const OrtTensor& /*tensor*/) {
  refuse();
}
void OrtBinding::run() const {
  refuse();
}

std::string ort_version() {
  refuse();
}

}  // namespace lorapress
