// Inputs and outputs of a graph that is called as any client calls it, whatever engine runs it.
#ifndef LORAPRESS_RUNTIME_GRAPHS_GRAPH_TENSOR_H_
#define LORAPRESS_RUNTIME_GRAPHS_GRAPH_TENSOR_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/dtype.h"
#include "weights/weight.h"

namespace lorapress {

// Numbers in the order of their shape. Move only; its memory is its own, an engine's or, of a view, the caller's.
class GraphTensor {
 public:
  GraphTensor(DType dtype, Shape shape);  // zeros
  // Over memory of the caller's, which holds at least the shape's bytes and outlives the tensor.
  static GraphTensor view(DType dtype, const Shape& shape, std::span<std::byte> bytes);
  // Over memory that lives as long as `owner`. REQUIRES: it holds the shape's bytes.
  static GraphTensor held(DType dtype,
                          Shape shape,
                          const void* data,
                          std::shared_ptr<const void> owner);
  static GraphTensor floats(Shape shape, std::span<const float> values);
  static GraphTensor integers(Shape shape, std::span<const int64_t> values);
  static GraphTensor of(const Weight& weight);  // its dtype, shape and content
  GraphTensor(GraphTensor&&) noexcept = default;
  GraphTensor& operator=(GraphTensor&&) noexcept = default;
  ~GraphTensor() = default;

  [[nodiscard]] DType dtype() const { return dtype_; }
  [[nodiscard]] const Shape& shape() const { return shape_; }
  [[nodiscard]] size_t count() const { return count_; }
  // The content as float32; throws kUnsupported for another dtype.
  [[nodiscard]] std::span<const float> as_floats() const;
  [[nodiscard]] std::span<const std::byte> bytes() const {
    return {data_, count_ * dtype_size(dtype_)};
  }
  [[nodiscard]] std::span<std::byte> writable() { return {data_, count_ * dtype_size(dtype_)}; }
  // The same numbers as float16 or float32; throws kUnsupported for other dtypes.
  [[nodiscard]] GraphTensor converted(DType to) const;

 private:
  GraphTensor(DType dtype, Shape shape, std::byte* data, std::shared_ptr<const void> owner);

  DType dtype_;
  Shape shape_;
  size_t count_;
  std::byte* data_;
  std::shared_ptr<const void> owner_;  // none of a view
};

}  // namespace lorapress

#endif  // LORAPRESS_RUNTIME_GRAPHS_GRAPH_TENSOR_H_
