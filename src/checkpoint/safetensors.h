// The safetensors format: u64 little-endian header length, a JSON header, the data. Follows every
// rule of the reference validator (safetensors/src/tensor.rs, Metadata::validate): a file is
// refused unless its tensors cover the data section exactly, in order, without gaps.
#ifndef LORAPRESS_CHECKPOINT_SAFETENSORS_H_
#define LORAPRESS_CHECKPOINT_SAFETENSORS_H_

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "weights/weight.h"

namespace lorapress {

using TensorMap = std::map<std::string, WeightPtr>;

// Throws kInvalidFile, kUnsupported (a dtype LoraPress does not know), kNotFound, kIo.
TensorMap open_safetensors(const std::filesystem::path& path);

struct NamedWeight {
  std::string name;
  WeightPtr weight;
};

// The 8 length bytes and the header for tensors written back to back in this order, padded with
// spaces so that the data starts at a multiple of 8.
std::string safetensors_header(const std::vector<NamedWeight>& tensors);

}  // namespace lorapress

#endif  // LORAPRESS_CHECKPOINT_SAFETENSORS_H_
