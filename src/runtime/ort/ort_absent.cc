// Instead of ort.cc in a build without ONNX Runtime (CMake option LORAPRESS_ORT=OFF): every session is refused.
#include "base/fail.h"
#include "runtime/ort/ort.h"

namespace lorapress {
namespace {

[[noreturn]] void refuse() {
  fail(
      ErrorCode::kUnsupported,
      "this program was built without ONNX Runtime (LORAPRESS_ORT=OFF); the engine \"native\" needs none, for "
      "\"ort\" take a build with LORAPRESS_ORT=ON");
}

}  // namespace

struct OrtTensor::Impl {};
struct OrtSession::Impl {};
struct OrtBinding::Impl {};

OrtTensor::OrtTensor(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
OrtTensor::~OrtTensor() = default;
OrtTensor::OrtTensor(OrtTensor&& other) noexcept = default;
OrtTensor& OrtTensor::operator=(OrtTensor&& other) noexcept = default;
OrtTensor::OrtTensor(DType /*dtype*/, Shape /*shape*/) {
  refuse();
}
OrtTensor OrtTensor::view(DType /*dtype*/, const Shape& /*shape*/, std::span<std::byte> /*bytes*/) {
  refuse();
}
OrtTensor OrtTensor::floats(Shape /*shape*/, std::span<const float> /*values*/) {
  refuse();
}
OrtTensor OrtTensor::integers(Shape /*shape*/, std::span<const int64_t> /*values*/) {
  refuse();
}
OrtTensor OrtTensor::of(const Weight& /*weight*/) {
  refuse();
}
DType OrtTensor::dtype() const {
  refuse();
}
Shape OrtTensor::shape() const {
  refuse();
}
std::span<const float> OrtTensor::as_floats() const {
  refuse();
}
std::span<const std::byte> OrtTensor::bytes() const {
  refuse();
}
OrtTensor OrtTensor::converted(DType /*to*/) const {
  refuse();
}

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
