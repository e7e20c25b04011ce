// Any JSON is a config of each kind or an Error; the numbers of what is accepted are in range.

#include <cmath>

#include "checkpoint/adapter.h"
#include "checkpoint/config.h"
#include "checkpoint/model_types.h"
#include "families/rope_frequencies.h"
#include "fuzz_util.h"

namespace {

using namespace lorapress;

void check_vision(const Json& json) {
  const VisionConfig config = parse_vision_config(json, "fuzz");
  fuzz::require(config.patches() >= 1 && config.hidden_size % config.num_attention_heads == 0);
}

void check_text(const Json& json) {
  const TextConfig config = parse_text_config(json, "fuzz");
  fuzz::require(config.num_attention_heads % config.num_key_value_heads == 0);
  fuzz::require(config.head_dim >= 1 && config.max_position_embeddings >= 1);
  constexpr int64_t kEnough = 4096;  // for this check, which is slow
  if (config.head_dim > kEnough) {
    return;
  }
  const auto* layers = std::get_if<LlamaLayers>(&config.layers);
  if (layers == nullptr) {
    return;
  }
  fuzz::require(config.head_dim >= 2);
  const RopeConfig& rope = layers->rope;
  fuzz::require(rope.rotary_dim >= 2 && rope.rotary_dim <= config.head_dim);
  for (const float frequency : inverse_frequencies(rope, rope.rotary_dim)) {
    fuzz::require(!std::isnan(frequency));
  }
}

// A configured adapter, on a module that fits its rank or does not.
void check_adapter(std::string_view text) {
  Adapter adapter;
  adapter.where = "fuzz";
  adapter.config = parse_adapter_config(text, "fuzz");
  for (const char* half : {"lora_A", "lora_B"}) {
    const auto name =
        parse_adapter_name("model.layers.1.self_attn.q_proj." + std::string(half) + ".weight");
    adapter.add(name.value(), zeros(DType::kF32, {4, 4}));
  }
  adapter.check();
  for (const auto& [key, module] : adapter.modules) {
    fuzz::require(std::isfinite(static_cast<float>(adapter.delta(module).scaling)));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = fuzz::as_text(data, size);
  fuzz::expect_no_more_than_error([&] { check_adapter(text); });
  fuzz::expect_no_more_than_error([&] {
    const Json json = parse_json(text, "fuzz");
    fuzz::expect_no_more_than_error([&] { check_vision(json); });
    fuzz::expect_no_more_than_error([&] { check_text(json); });
    fuzz::expect_no_more_than_error(
        [&] { composite_model_types()[0]->read_projection(json, "fuzz"); });
  });
  return 0;
}
