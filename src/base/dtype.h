// The one table of element types: everything that names, sizes or maps a dtype derives from it.
#ifndef LORAPRESS_BASE_DTYPE_H_
#define LORAPRESS_BASE_DTYPE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace lorapress {

enum class DType : uint8_t { kF32, kF16, kBF16, kF64, kI64, kI32, kI16, kI8, kU8, kBool };

struct DTypeRow {
  DType dtype;
  std::string_view name;         // in JSON, messages and on the command line
  std::string_view safetensors;  // in a safetensors header
  int onnx;                      // TensorProto.DataType, onnx/onnx.proto
  size_t size;                   // bytes per element
  bool is_float;
};

inline constexpr std::array kDTypes = {
    DTypeRow{DType::kF32, "float32", "F32", 1, 4, true},
    DTypeRow{DType::kF16, "float16", "F16", 10, 2, true},
    DTypeRow{DType::kBF16, "bfloat16", "BF16", 16, 2, true},
    DTypeRow{DType::kF64, "float64", "F64", 11, 8, true},
    DTypeRow{DType::kI64, "int64", "I64", 7, 8, false},
    DTypeRow{DType::kI32, "int32", "I32", 6, 4, false},
    DTypeRow{DType::kI16, "int16", "I16", 5, 2, false},
    DTypeRow{DType::kI8, "int8", "I8", 3, 1, false},
    DTypeRow{DType::kU8, "uint8", "U8", 2, 1, false},
    DTypeRow{DType::kBool, "bool", "BOOL", 9, 1, false},
};

constexpr const DTypeRow& dtype_row(DType dtype) {
  return kDTypes[static_cast<size_t>(dtype)];
}
constexpr size_t dtype_size(DType dtype) {
  return dtype_row(dtype).size;
}
constexpr std::string_view dtype_name(DType dtype) {
  return dtype_row(dtype).name;
}

constexpr std::optional<DType> dtype_from_safetensors(std::string_view name) {
  for (const DTypeRow& row : kDTypes) {
    if (row.safetensors == name) {
      return row.dtype;
    }
  }
  return std::nullopt;
}

constexpr std::optional<DType> dtype_from_onnx(int onnx) {
  for (const DTypeRow& row : kDTypes) {
    if (row.onnx == onnx) {
      return row.dtype;
    }
  }
  return std::nullopt;
}

}  // namespace lorapress

#endif  // LORAPRESS_BASE_DTYPE_H_
