#include "runtime/graphs/graph_tensor.h"

#include <algorithm>
#include <new>

#include "base/checked.h"
#include "base/convert.h"
#include "base/fail.h"

namespace lorapress {
namespace {

constexpr std::align_val_t kAlignment{64};

std::byte* allocate(size_t bytes) {
  return static_cast<std::byte*>(::operator new(std::max<size_t>(bytes, 1), kAlignment));
}

void release(const void* data) {
  ::operator delete(const_cast<void*>(data), kAlignment);
}

size_t elements(const Shape& shape) {
  const std::optional<int64_t> count = checked_product(shape);
  if (!count || *count < 0) {
    fail(ErrorCode::kRuntime, "no tensor can be [{}]", fmt::join(shape, ", "));
  }
  return static_cast<size_t>(*count);
}

}  // namespace

GraphTensor::GraphTensor(DType dtype,
                         Shape shape,
                         std::byte* data,
                         std::shared_ptr<const void> owner)
    : dtype_(dtype),
      shape_(std::move(shape)),
      count_(elements(shape_)),
      data_(data),
      owner_(std::move(owner)) {}

GraphTensor::GraphTensor(DType dtype, Shape shape)
    : GraphTensor(dtype, std::move(shape), nullptr, nullptr) {
  data_ = allocate(bytes().size());
  owner_ = std::shared_ptr<const void>(static_cast<const void*>(data_), release);
  std::ranges::fill(writable(), std::byte{0});
}

GraphTensor GraphTensor::view(DType dtype, const Shape& shape, std::span<std::byte> bytes) {
  GraphTensor tensor(dtype, shape, bytes.data(), nullptr);
  if (bytes.size() / dtype_size(dtype) < tensor.count_) {
    fail(ErrorCode::kRuntime,
         "a view of {} bytes, expected [{}] of {}",
         bytes.size(),
         fmt::join(shape, ", "),
         dtype_name(dtype));
  }
  return tensor;
}

GraphTensor GraphTensor::held(DType dtype,
                              Shape shape,
                              const void* data,
                              std::shared_ptr<const void> owner) {
  auto* bytes = static_cast<std::byte*>(const_cast<void*>(data));
  return {dtype, std::move(shape), bytes, std::move(owner)};
}

GraphTensor GraphTensor::floats(Shape shape, std::span<const float> values) {
  GraphTensor tensor(DType::kF32, std::move(shape));
  std::ranges::copy(std::as_bytes(values), tensor.writable().begin());
  return tensor;
}

GraphTensor GraphTensor::integers(Shape shape, std::span<const int64_t> values) {
  GraphTensor tensor(DType::kI64, std::move(shape));
  std::ranges::copy(std::as_bytes(values), tensor.writable().begin());
  return tensor;
}

GraphTensor GraphTensor::of(const Weight& weight) {
  GraphTensor tensor(weight.dtype(), weight.shape());
  read_bytes(weight, 0, tensor.writable());
  return tensor;
}

std::span<const float> GraphTensor::as_floats() const {
  if (dtype_ != DType::kF32) {
    fail(ErrorCode::kUnsupported, "an output is {}, expected float32", dtype_name(dtype_));
  }
  return {reinterpret_cast<const float*>(data_), count_};
}

GraphTensor GraphTensor::converted(DType to) const {
  for (const DType each : {dtype_, to}) {
    if (each != DType::kF32 && each != DType::kF16) {
      fail(ErrorCode::kUnsupported, "{}, expected float32 or float16", dtype_name(each));
    }
  }
  GraphTensor result(to, shape_);
  std::vector<float> values(count_);
  to_float32(dtype_, bytes(), values);
  from_float32(to, values, result.writable());
  return result;
}

}  // namespace lorapress
