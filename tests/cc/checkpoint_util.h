// Small checkpoints for tests, written tensor by tensor.
#ifndef LORAPRESS_TESTS_CC_CHECKPOINT_UTIL_H_
#define LORAPRESS_TESTS_CC_CHECKPOINT_UTIL_H_

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "checkpoint/safetensors.h"
#include "test_util.h"
#include "weights/stream.h"

namespace lorapress::test {

inline void write_safetensors(const fs::path& path, const std::vector<NamedWeight>& tensors) {
  FilePlan plan(path);
  plan.literal(safetensors_header(tensors));
  for (const NamedWeight& tensor : tensors) {
    plan.weight(tensor.weight);
  }
  write_files({plan}, {.hash = false, .threads = 1, .progress = {}});
}

// The 8 bytes of the header's length, the header, and `data` zero bytes.
inline std::string safetensors_bytes(const std::string& header, size_t data) {
  std::string bytes;
  for (int shift = 0; shift < 64; shift += 8) {
    bytes.push_back(static_cast<char>(uint64_t{header.size()} >> shift & 0xff));
  }
  return bytes + header + std::string(data, '\0');
}

inline WeightPtr filled(DType dtype, const Shape& shape, float value) {
  const WeightPtr zero = zeros(DType::kF32, shape);
  const std::vector<float> values(static_cast<size_t>(zero->bytes() / 4), value);
  return cast(float_constant(shape, values), dtype);
}

// A Llama of one layer: hidden 4, two heads of two, one key head, vocabulary 6.
inline Json tiny_llama_config() {
  return {{"model_type", "llama"},
          {"vocab_size", 6},
          {"hidden_size", 4},
          {"intermediate_size", 3},
          {"num_hidden_layers", 1},
          {"num_attention_heads", 2},
          {"num_key_value_heads", 1},
          {"max_position_embeddings", 16},
          {"eos_token_id", 1}};
}

// Its tensors by their Hugging Face names; the value of each is its place in this list.
inline std::map<std::string, Shape> tiny_llama_shapes() {
  const std::string layer = "model.layers.0.";
  return {{"model.embed_tokens.weight", {6, 4}},
          {layer + "input_layernorm.weight", {4}},
          {layer + "self_attn.q_proj.weight", {4, 4}},
          {layer + "self_attn.k_proj.weight", {2, 4}},
          {layer + "self_attn.v_proj.weight", {2, 4}},
          {layer + "self_attn.o_proj.weight", {4, 4}},
          {layer + "post_attention_layernorm.weight", {4}},
          {layer + "mlp.gate_proj.weight", {3, 4}},
          {layer + "mlp.up_proj.weight", {3, 4}},
          {layer + "mlp.down_proj.weight", {4, 3}},
          {"model.norm.weight", {4}},
          {"lm_head.weight", {6, 4}}};
}

// config.json and model.safetensors; `without` names a tensor to leave out.
inline void write_tiny_llama(const fs::path& folder,
                             const Json& config,
                             const std::string& without = "",
                             DType dtype = DType::kF32) {
  fs::create_directories(folder);
  write_text(folder / "config.json", config.dump());
  std::vector<NamedWeight> tensors;
  float value = 0.0F;
  for (const auto& [name, shape] : tiny_llama_shapes()) {
    value += 1.0F;
    if (name != without) {
      tensors.push_back({name, filled(dtype, shape, value)});
    }
  }
  write_safetensors(folder / "model.safetensors", tensors);
}

}  // namespace lorapress::test

#endif  // LORAPRESS_TESTS_CC_CHECKPOINT_UTIL_H_
