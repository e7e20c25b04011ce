#include "checkpoint/quantized.h"

#include <algorithm>
#include <array>
#include <optional>

#include "base/fail.h"
#include "weights/dequantized.h"

namespace lorapress {
namespace {

constexpr const char* kConfig = "quantization_config";
constexpr std::string_view kState = ".quant_state.bitsandbytes__";  // then nf4 or fp4
constexpr int64_t kLargestBlock = 1 << 16;
constexpr uint64_t kLongestState = 4096;

constexpr std::string_view kAdvice =
    "load it with transformers, call model.dequantize() and save it, or pass the base as it was "
    "before quantization";

// Ends of names that GPTQ, AWQ, compressed-tensors and FP8 checkpoints have beside or instead of
// ".weight", and those of bitsandbytes without their quant_state.
constexpr std::array<std::string_view, 8> kForeign = {".qweight",
                                                      ".qzeros",
                                                      ".weight_packed",
                                                      ".weight_scale",
                                                      ".weight_scale_inv",
                                                      ".g_idx",
                                                      ".absmax",
                                                      ".quant_map"};

// Takes the tensors that belong to one weight out of the map.
class Parts {
 public:
  Parts(TensorMap& tensors, std::string weight, std::string where)
      : tensors_(tensors), weight_(std::move(weight)), where_(std::move(where)) {}

  WeightPtr take(std::string_view suffix) {
    WeightPtr found = take_if(suffix);
    if (!found) {
      refuse(fmt::format("{} is missing", suffix));
    }
    return found;
  }
  WeightPtr take_if(std::string_view suffix) {
    const auto found = tensors_.find(weight_ + std::string(suffix));
    if (found == tensors_.end()) {
      return nullptr;
    }
    WeightPtr weight = found->second;
    tensors_.erase(found);
    return weight;
  }
  // A map of codes to floats.
  std::vector<float> take_map(std::string_view suffix, uint64_t size) {
    const WeightPtr map = take(suffix);
    if (map->dtype() != DType::kF32 || map->values() != size) {
      refuse(fmt::format("{} is [{}] in {}, expected {} float32",
                         suffix,
                         fmt::join(map->shape(), ", "),
                         dtype_name(map->dtype()),
                         size));
    }
    return read_all_float32(*map);
  }
  [[noreturn]] void refuse(std::string_view what) const {
    fail(ErrorCode::kInvalidFile,
         "{}: {} is quantized by bitsandbytes, but its description does not fit: {}; {}",
         where_,
         weight_,
         what,
         kAdvice);
  }
  // Runs `make`, whose errors get the weight's name.
  template <typename Make>
  WeightPtr made(const Make& make) const {
    try {
      return make();
    } catch (const Error& error) {
      refuse(error.what());
    }
  }
  [[nodiscard]] std::string place() const { return where_ + ": " + weight_; }

 private:
  TensorMap& tensors_;
  std::string weight_;
  std::string where_;
};

int64_t block_size(const Json& state, std::string_view key, int64_t fallback, const Parts& parts) {
  const auto size = json_or<int64_t>(state, key, fallback, parts.place());
  if (size < 1 || size > kLargestBlock) {
    parts.refuse(fmt::format("{} is {}", key, size));
  }
  return size;
}

// bitsandbytes, functional.py, QuantState.as_dict(packed=True): JSON in the bytes of a tensor.
Json read_state(const Weight& weight, const Parts& parts) {
  if (weight.dtype() != DType::kU8 || weight.bytes() > kLongestState) {
    parts.refuse("the quant_state is not JSON");
  }
  std::string text(weight.bytes(), '\0');
  read_bytes(weight, 0, std::as_writable_bytes(std::span(text)));
  try {
    Json state = parse_json(text, parts.place());
    if (state.is_object()) {
      return state;
    }
  } catch (const Error&) {
    // reported below
  }
  parts.refuse("the quant_state is not JSON");
}

Shape state_shape(const Json& state, const Parts& parts) {
  const auto found = state.find("shape");
  if (found == state.end() || !found->is_array() || found->empty() || found->size() > 8) {
    parts.refuse("the quant_state has no shape");
  }
  Shape shape;
  for (const Json& dimension : *found) {
    constexpr int64_t kMost = int64_t{1} << 40;
    if (!dimension.is_number_integer() || dimension < 0 || dimension > kMost) {
      parts.refuse(fmt::format("a shape of {}", found->dump()));
    }
    shape.push_back(dimension.get<int64_t>());
  }
  return shape;
}

DType state_dtype(const Json& state, const Parts& parts) {
  const auto name = json_or<std::string>(state, "dtype", "", parts.place());
  for (const DTypeRow& row : kDTypes) {
    if (row.is_float && row.name == name) {
      return row.dtype;
    }
  }
  parts.refuse(fmt::format("the dtype is \"{}\"", name));
}

WeightPtr four_bit(const WeightPtr& packed, const Weight& state_bytes, Parts& parts) {
  const Json state = read_state(state_bytes, parts);
  FourBit four{packed,
               parts.take(".absmax"),
               parts.take_map(".quant_map", 16),
               block_size(state, "blocksize", 64, parts),
               std::nullopt};
  if (const WeightPtr nested = parts.take_if(".nested_absmax")) {
    four.nested = NestedScales{
        nested,
        parts.take_map(".nested_quant_map", 256),
        block_size(state, "nested_blocksize", 256, parts),
        static_cast<float>(json_or<double>(state, "nested_offset", 0.0, parts.place()))};
  }
  const DType dtype = state_dtype(state, parts);
  Shape shape = state_shape(state, parts);
  return parts.made([&] { return from_four_bit(std::move(four), dtype, std::move(shape)); });
}

// transformers 4 and 5 save LLM.int8() weights row by row; other formats belong to old GPU kernels.
WeightPtr eight_bit(const WeightPtr& codes, const WeightPtr& scales, Parts& parts) {
  if (const WeightPtr format = parts.take_if("weight_format")) {
    std::vector<std::byte> value(format->bytes());
    read_bytes(*format, 0, value);
    if (std::ranges::any_of(value, [](std::byte part) { return part != std::byte{0}; })) {
      parts.refuse("weight_format is not \"row\"");
    }
  }
  return parts.made([&] { return from_int8_rows(codes, scales); });
}

void refuse_foreign(const TensorMap& tensors, const std::string& where) {
  for (const auto& [name, weight] : tensors) {
    const std::string_view view = name;
    if (std::ranges::any_of(kForeign, [&](std::string_view end) { return view.ends_with(end); })) {
      fail(ErrorCode::kUnsupported,
           "{}: tensor {} belongs to weights that are quantized in a way that is not supported "
           "(bitsandbytes' whole sets for 4 and 8 bits are); {}",
           where,
           name,
           kAdvice);
    }
  }
}

void check_method(const Json& config, std::string_view where) {
  const auto found = config.find(kConfig);
  if (found == config.end() || !found->is_object()) {
    return;
  }
  const auto method = json_or<std::string>(*found, "quant_method", "bitsandbytes", where);
  if (method != "bitsandbytes") {
    fail(ErrorCode::kUnsupported,
         "{}: quantization_config: weights quantized by \"{}\" are not supported, expected plain "
         "floats or bitsandbytes; {}",
         where,
         method,
         kAdvice);
  }
}

}  // namespace

void check_quantization(const Json& config, std::string_view where) {
  check_method(config, where);
  for (const char* tower : {"text_config", "vision_config"}) {
    const auto found = config.find(tower);
    if (found != config.end() && found->is_object()) {
      check_method(*found, where);
    }
  }
}

TensorMap dequantized(TensorMap tensors,
                      const std::string& where,
                      std::vector<std::string>& notes) {
  std::vector<std::pair<std::string, std::string>> four;  // weight, name of its state
  std::vector<std::string> eight;                         // up to and with the dot before "SCB"
  for (const auto& [name, weight] : tensors) {
    const size_t state = name.find(kState);
    if (state != std::string::npos) {
      four.emplace_back(name.substr(0, state), name);
    } else if (name.ends_with(".SCB")) {
      eight.push_back(name.substr(0, name.size() - 3));
    }
  }
  for (const auto& [name, state_name] : four) {
    Parts parts(tensors, name, where);
    const WeightPtr state = parts.take(state_name.substr(name.size()));
    const WeightPtr packed = parts.take("");
    WeightPtr weight = four_bit(packed, *state, parts);
    tensors.emplace(name, std::move(weight));
  }
  for (const std::string& module : eight) {
    Parts parts(tensors, module, where);
    const WeightPtr scales = parts.take("SCB");
    const WeightPtr codes = parts.take("weight");
    WeightPtr weight = eight_bit(codes, scales, parts);
    tensors.emplace(module + "weight", std::move(weight));
  }
  refuse_foreign(tensors, where);
  if (!four.empty() || !eight.empty()) {
    notes.push_back(fmt::format("{}: {} tensors dequantized from bitsandbytes' {}",
                                where,
                                four.size() + eight.size(),
                                four.empty()    ? "8 bits"
                                : eight.empty() ? "4 bits"
                                                : "4 and 8 bits"));
  }
  return tensors;
}

void drop_quantization(Json& config) {
  if (config.is_object()) {
    config.erase(kConfig);
  }
}

}  // namespace lorapress
