// The goldens of tests/oracle (see its README.md): checkpoints and what torch, transformers and
// PEFT make of them.
#ifndef LORAPRESS_TESTS_CC_GOLDEN_UTIL_H_
#define LORAPRESS_TESTS_CC_GOLDEN_UTIL_H_

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "lorapress/source.h"

#include "base/json.h"
#include "checkpoint/safetensors.h"
#include "test_util.h"

namespace lorapress::test {

inline fs::path checkpoints_folder() {
  return source_path("tests/goldens/checkpoints");
}

// A manifest as the program wrote it at format_version 1.
inline Json version_1(Json manifest) {
  manifest["format_version"] = 1;
  manifest.erase("graph_files");
  manifest.erase("preferred_dtypes");
  return manifest;
}

inline std::vector<std::string> golden_names() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(checkpoints_folder())) {
    names.push_back(entry.path().filename().string());
  }
  std::ranges::sort(names);
  return names;
}

// One golden folder.
struct Golden {
  explicit Golden(const std::string& name)
      : folder(checkpoints_folder() / name),
        json(read_json(folder / "golden" / "golden.json")),
        tensors(open_safetensors(folder / "golden" / "golden.safetensors")) {}

  [[nodiscard]] const Json& cases() const { return json.at("cases"); }
  // PEFT's merges by "case/label/name"; none where nothing is adapted.
  [[nodiscard]] TensorMap merged() const {
    const fs::path path = folder / "golden" / "merged.safetensors";
    return fs::exists(path) ? open_safetensors(path) : TensorMap();
  }
  [[nodiscard]] Source source(const Json& golden_case) const {
    Source source;
    source.checkpoint = folder / json.at("checkpoint").get<std::string>();
    for (const Json& adapter : golden_case.at("adapters")) {
      source.adapters.push_back(
          {folder / adapter.at("path").get<std::string>(), adapter.at("weight")});
    }
    return source;
  }
  [[nodiscard]] fs::path image(size_t index) const {
    return folder / "golden" / json.at("images").at(index).get<std::string>();
  }
  // One row of a tensor [rows, ...].
  [[nodiscard]] std::vector<float> row(const std::string& name, size_t index) const {
    const WeightPtr& tensor = tensors.at(name);
    std::vector<float> values(static_cast<size_t>(tensor->cols()));
    tensor->read_floats({static_cast<int64_t>(index), 1, 0, tensor->cols()}, values);
    return values;
  }

  fs::path folder;
  Json json;
  TensorMap tensors;
};

inline std::vector<double> read_doubles(const Weight& weight) {
  if (weight.dtype() == DType::kF64) {
    std::vector<double> values(weight.bytes() / sizeof(double));
    read_bytes(weight, 0, std::as_writable_bytes(std::span(values)));
    return values;
  }
  const std::vector<float> values = read_all_float32(weight);
  return {values.begin(), values.end()};
}

// The values that a file would hold: rounded to the weight's dtype.
inline std::vector<double> read_stored(const Weight& weight) {
  std::vector<std::byte> bytes(weight.bytes());
  read_bytes(weight, 0, bytes);
  return read_doubles(*constant_weight(weight.dtype(), weight.shape(), std::move(bytes)));
}

inline std::string bytes_of(const Weight& weight) {
  std::string bytes(weight.bytes(), '\0');
  read_bytes(weight, 0, std::as_writable_bytes(std::span(bytes)));
  return bytes;
}

inline double largest(const std::vector<double>& values) {
  double most = 0.0;
  for (const double value : values) {
    most = std::max(most, std::fabs(value));
  }
  return most;
}

inline double largest_difference(const std::vector<double>& left,
                                 const std::vector<double>& right) {
  if (left.size() != right.size()) {
    return std::numeric_limits<double>::infinity();
  }
  double most = 0.0;
  for (size_t i = 0; i < left.size(); ++i) {
    const double difference = std::fabs(left[i] - right[i]);
    most = std::isnan(difference) ? difference : std::max(most, difference);
  }
  return most;
}

// Half the distance between neighbours of the dtype around `value`: what one rounding may cost.
inline double half_ulp(DType dtype, double value) {
  const int mantissa = dtype == DType::kF16 ? 10 : dtype == DType::kBF16 ? 7 : 23;
  const int least = dtype == DType::kF16 ? -14 : -126;
  const int exponent = value == 0.0 ? least : std::max(least, std::ilogb(value));
  return std::ldexp(0.5, exponent - mantissa);
}

}  // namespace lorapress::test

#endif  // LORAPRESS_TESTS_CC_GOLDEN_UTIL_H_
