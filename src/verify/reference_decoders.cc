// From transformers: the configs and attention classes of models/llama, qwen2, qwen3, mistral and
// phi3; modeling_rope_utils.py (_compute_default_rope_parameters,
// _compute_linear_scaling_rope_parameters, _compute_llama3_parameters, _compute_longrope_parameters).
#include "verify/reference_decoders.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "base/fail.h"

namespace lorapress::reference {
namespace {

bool is_true(const Json& config, const char* key) {
  return config.value(key, Json(false)) == true;
}

// A number that may be absent or null.
double number(const Json& config, const char* key, double otherwise) {
  const auto found = config.find(key);
  return found != config.end() && found->is_number() ? found->get<double>() : otherwise;
}

// The window where nothing else decides: absent means `otherwise`, null means none.
int64_t window_of(const Json& config, int64_t otherwise) {
  return config.contains("sliding_window")
             ? static_cast<int64_t>(number(config, "sliding_window", 0))
             : otherwise;
}

bool slides(const Json& config, size_t layer, bool otherwise) {
  const auto types = config.find("layer_types");
  return types != config.end() && types->is_array() ? types->at(layer) == "sliding_attention"
                                                    : otherwise;
}

AttentionBiases bias_of_all(const Json& config) {
  const bool bias = is_true(config, "attention_bias");
  return {bias, bias, bias, bias};
}

LayerFacts every_layer_sees_all(const Json& /*config*/, size_t /*layer*/) {
  return {};
}

// Qwen2Config and Qwen3Config.
LayerFacts qwen_layer(const Json& config, size_t layer) {
  const int64_t window = is_true(config, "use_sliding_window") ? window_of(config, 4096) : 0;
  const bool late = static_cast<double>(layer) >= number(config, "max_window_layers", 28);
  return {true, slides(config, layer, late) ? window : 0};
}

struct DecoderRow {
  std::string_view model_type;
  AttentionBiases (*biases)(const Json& config);
  LayerFacts (*layer)(const Json& config, size_t index);
  bool head_norms = false;
  bool fused = false;
};
constexpr std::array kDecoders = {
    DecoderRow{"llama", bias_of_all, every_layer_sees_all},
    DecoderRow{
        "qwen2", [](const Json&) { return AttentionBiases{true, true, true, false}; }, qwen_layer},
    DecoderRow{"qwen3", bias_of_all, qwen_layer, true},
    DecoderRow{
        "mistral",
        [](const Json&) { return AttentionBiases{}; },
        [](const Json& config, size_t) { return LayerFacts{true, window_of(config, 4096)}; }},
    DecoderRow{"phi3",
               [](const Json&) { return AttentionBiases{}; },
               [](const Json& config, size_t) { return LayerFacts{true, window_of(config, 0)}; },
               false,
               true},
};

// llama3: wavelengths above the old context / low_freq_factor are slowed by the whole factor, those
// below the old context / high_freq_factor not at all, with a ramp in between.
double llama3_scaled(double frequency, const RopeConfig& rope) {
  const auto context = static_cast<double>(rope.original_max_position_embeddings);
  const double turns = context * frequency / (2.0 * std::numbers::pi);  // within the old context
  if (turns < rope.low_freq_factor) {
    return frequency / rope.factor;
  }
  if (turns > rope.high_freq_factor) {
    return frequency;
  }
  const double ramp =
      (turns - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor);
  return frequency * (ramp + (1.0 - ramp) / rope.factor);
}

// Phi3Config: the fields stand in rope_parameters or, in older files, in rope_scaling and beside it.
const Json& rope_json(const Json& config) {
  const auto found = config.find("rope_parameters");
  return found != config.end() && found->is_object() ? *found : config.at("rope_scaling");
}

int64_t rotated_width(const Json& config, int64_t head_dim) {
  double part = number(config, "partial_rotary_factor", 1.0);
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    const auto found = config.find(key);
    part = found != config.end() && found->is_object()
               ? number(*found, "partial_rotary_factor", part)
               : part;
  }
  return static_cast<int64_t>(static_cast<double>(head_dim) * part);
}

void add_longrope(const Json& config, DecoderFacts& facts) {
  const Json& fields = rope_json(config);
  const double context = number(config,
                                "original_max_position_embeddings",
                                config.value("model_type", "") == "phi3"
                                    ? 4096
                                    : number(fields, "original_max_position_embeddings", 0));
  const double longest = number(config, "max_position_embeddings", 4096);
  const double factor = number(fields, "factor", longest / context);
  const double usual = factor > 1.0 ? std::sqrt(1.0 + std::log(factor) / std::log(context)) : 1.0;
  facts.rotary_scaling = number(fields, "attention_factor", usual);
  for (size_t i = 0; i < facts.inverse_frequencies.size(); ++i) {
    facts.inverse_frequencies[i] /= fields.at("short_factor").at(i).get<double>();
  }
  facts.most_positions =
      fields.at("short_factor") == fields.at("long_factor") ? 0 : static_cast<int64_t>(context);
}

void add_frequencies(const Json& config, const TextConfig& text, DecoderFacts& facts) {
  const RopeConfig& rope = std::get<LlamaLayers>(text.layers).rope;
  const int64_t width = rotated_width(config, text.head_dim);
  for (int64_t i = 0; i < width; i += 2) {
    const double base =
        std::pow(rope.rope_theta, -static_cast<double>(i) / static_cast<double>(width));
    if (rope.rope_type == "default" || rope.rope_type == "longrope") {
      facts.inverse_frequencies.push_back(base);
    } else if (rope.rope_type == "linear") {
      facts.inverse_frequencies.push_back(base / rope.factor);
    } else if (rope.rope_type == "llama3") {
      facts.inverse_frequencies.push_back(llama3_scaled(base, rope));
    } else {
      fail(ErrorCode::kUnsupported,
           "rope_type \"{}\" has no reference forward (default, linear, llama3 and longrope have)",
           rope.rope_type);
    }
  }
  if (rope.rope_type == "longrope") {
    add_longrope(config, facts);
  }
}

}  // namespace

DecoderFacts decoder_facts(const Checkpoint& checkpoint) {
  const TextConfig& text = checkpoint.text.value();
  const auto row = std::ranges::find(kDecoders, text.model_type, &DecoderRow::model_type);
  if (row == kDecoders.end()) {
    fail(ErrorCode::kUnsupported, "model_type \"{}\" has no reference forward", text.model_type);
  }
  const Json& config = checkpoint.text_json;
  DecoderFacts facts;
  facts.biases = row->biases(config);
  facts.head_norms = row->head_norms;
  facts.fused = row->fused;
  for (size_t layer = 0; std::cmp_less(layer, text.num_hidden_layers); ++layer) {
    facts.layers.push_back(row->layer(config, layer));
  }
  add_frequencies(config, text, facts);
  return facts;
}

}  // namespace lorapress::reference
