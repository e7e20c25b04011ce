// The type of a tensor in a graph: dtype and symbolic shape.
#ifndef LORAPRESS_GRAPH_VALUE_H_
#define LORAPRESS_GRAPH_VALUE_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/dtype.h"

namespace lorapress {

// A number, a symbol ("batch_size"), or unknown (neither).
struct Dim {
  Dim() = default;
  Dim(int64_t number) : value(number) {}              // NOLINT: dims are written as {1, "n"}
  Dim(std::string name) : symbol(std::move(name)) {}  // NOLINT
  Dim(const char* name) : symbol(name) {}             // NOLINT
  [[nodiscard]] bool known() const { return value >= 0; }
  bool operator==(const Dim&) const = default;

  int64_t value = -1;
  std::string symbol;
};

using Dims = std::vector<Dim>;

struct TensorType {
  DType dtype = DType::kF32;
  Dims dims;
};

// A handle to one tensor of one Graph. Cheap to copy. An absent optional input is Value{}.
struct Value {
  int id = -1;
  TensorType type;
  [[nodiscard]] bool present() const { return id >= 0; }
  [[nodiscard]] const Dim& dim(size_t axis) const { return type.dims.at(axis); }
  [[nodiscard]] size_t rank() const { return type.dims.size(); }
};

std::string to_string(const TensorType& type);

}  // namespace lorapress

#endif  // LORAPRESS_GRAPH_VALUE_H_
