#include "blocks/shapes.h"

namespace lorapress {
namespace {

// Reduces over all axes, which needs neither an attribute nor an input: one form in every opset.
Value reduce_bool(const Builder& b,
                  const std::string& scope,
                  const Value& x,
                  std::string_view type) {
  const Value number = to_dtype(b, scope + "/number", x, DType::kI64);
  const Value one =
      b.graph.op(type, scope + "/" + std::string(type), {number}, {{"keepdims", int64_t{0}}});
  return to_dtype(b, scope + "/bool", one, DType::kBool);
}

}  // namespace

Value length_of(const Builder& b, const std::string& name, const Value& x, int64_t axis) {
  const Value shape = b.graph.op("Shape", name + "/Shape", {x});
  return b.graph.op("Gather", name, {shape, b.graph.integers({axis})}, {{"axis", int64_t{0}}});
}

Value filled(const Builder& b,
             const std::string& name,
             const Value& scalar,
             const std::vector<Value>& dims) {
  const Value shape = b.graph.op("Concat", name + "/shape", dims, {{"axis", int64_t{0}}});
  return b.graph.op("Expand", name, {scalar, shape});
}

Value all_of(const Builder& b, const std::string& scope, const Value& x) {
  return reduce_bool(b, scope, x, "ReduceMin");
}

Value any_of(const Builder& b, const std::string& scope, const Value& x) {
  return reduce_bool(b, scope, x, "ReduceMax");
}

Value is_one_of(const Builder& b,
                const std::string& scope,
                const Value& x,
                const std::vector<int64_t>& ids) {
  Value found;
  for (size_t i = 0; i < ids.size(); ++i) {
    const std::string name = scope + "/" + std::to_string(i);
    const Value equal = b.graph.op("Equal", name + "/Equal", {x, b.graph.integer(ids[i])});
    found = i == 0 ? equal : b.graph.op("Or", name + "/Or", {found, equal});
  }
  return found;
}

Value to_dtype(const Builder& b, const std::string& name, const Value& x, DType dtype) {
  return b.graph.op("Cast", name, {x}, {{"to", int64_t{dtype_row(dtype).onnx}}});
}

}  // namespace lorapress
