// DINOv2 with and without registers, transformers modeling_dinov2.py and
// modeling_dinov2_with_registers.py: a class token, a factor per channel behind each sublayer, and
// position embeddings that are interpolated where images are not of the size that they were trained
// for.
#include <algorithm>
#include <array>
#include <cmath>

#include "base/fail.h"
#include "checkpoint/config_fields.h"
#include "families/encoder.h"
#include "weights/row_sums.h"

namespace lorapress {
namespace {

using namespace config_fields;

constexpr std::array<std::string_view, 2> kDinov2UnusedPrefixes = {
    "vision_encoder.embeddings.mask_token", "vision_encoder.classifier."};
constexpr std::array<std::string_view, 2> kDinov2Activations = {"gelu", "gelu_pytorch_tanh"};
constexpr std::array<NamePart, 4> kModuleParts = {
    {{".attention.q_proj", ".attention.attention.query"},
     {".attention.k_proj", ".attention.attention.key"},
     {".attention.v_proj", ".attention.attention.value"},
     {".attention.o_proj", ".attention.output.dense"}}};
constexpr std::array<VisionSpelling, 3> kDinov2Spellings = {
    {{"dinov2.", "", {}},
     {"dinov2_with_registers.", "", {}},
     {"encoder.layer.", "encoder.layer.", kModuleParts}}};

VisionConfig read(const Json& json, std::string_view where, VisionConfig defaults) {
  defaults.class_tokens = 1;
  VisionConfig config = read_encoder_config(json, defaults, kDinov2Activations, where);
  if (json_or<bool>(json, "use_swiglu_ffn", false, where)) {
    fail(ErrorCode::kUnsupported,
         "{}: use_swiglu_ffn is true, expected false (DINOv2 small, base or large)",
         where);
  }
  const double ratio = positive(json, "mlp_ratio", 4.0, where);
  const double wide = std::floor(static_cast<double>(config.hidden_size) * ratio);
  if (wide < 1 || wide > static_cast<double>(kMostWide)) {
    fail(ErrorCode::kInvalidFile,
         "{}: \"mlp_ratio\" is {}, of hidden_size {}",
         where,
         ratio,
         config.hidden_size);
  }
  config.intermediate_size = static_cast<int64_t>(wide);
  config.qkv_bias = json_or<bool>(json, "qkv_bias", true, where);
  return config;
}

VisionConfig read_plain(const Json& json, std::string_view where) {
  VisionConfig defaults;
  defaults.patch_size = 14;
  return read(json, where, defaults);
}

VisionConfig read_with_registers(const Json& json, std::string_view where) {
  VisionConfig config = read(json, where, VisionConfig{});
  config.register_tokens = json_or<int64_t>(json, "num_register_tokens", 4, where);
  if (config.register_tokens < 0 || config.register_tokens > 4096) {
    fail(ErrorCode::kInvalidFile,
         "{}: \"num_register_tokens\" is {}, expected 0 to 4096",
         where,
         config.register_tokens);
  }
  return config;
}

// torch's bicubic filter (aten/src/ATen/native/UpSample.h): a is -0.75, with antialias -0.5.
double cubic(double distance, double a) {
  const double x = std::abs(distance);
  if (x <= 1.0) {
    return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
  }
  return x < 2.0 ? ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a : 0.0;
}

// One axis of torch.nn.functional.interpolate(mode="bicubic", align_corners=False): out position ->
// weights of in positions. Without antialias positions beyond the edges are those of the edges.
std::vector<RowSum> interpolation(int64_t in, int64_t out, bool antialias) {
  const double scale = static_cast<double>(in) / static_cast<double>(out);
  std::vector<RowSum> sums;
  for (int64_t i = 0; i < out; ++i) {
    RowSum sum;
    const double center = (static_cast<double>(i) + 0.5) * scale;
    if (!antialias) {
      const double at = center - 0.5;
      const auto first = static_cast<int64_t>(std::floor(at)) - 1;
      for (int64_t j = first; j < first + 4; ++j) {
        sum.push_back(
            {std::clamp(j, int64_t{0}, in - 1), cubic(static_cast<double>(j) - at, -0.75)});
      }
    } else {
      const double widening = std::max(scale, 1.0);
      const double support = 2.0 * widening;
      const auto first = std::max(int64_t{0}, static_cast<int64_t>(center - support + 0.5));
      const int64_t end = std::min(in, static_cast<int64_t>(center + support + 0.5));
      double total = 0.0;
      for (int64_t j = first; j < end; ++j) {
        sum.push_back({j, cubic((static_cast<double>(j) - center + 0.5) / widening, -0.5)});
        total += sum.back().factor;
      }
      for (RowTerm& term : sum) {
        term.factor /= total;
      }
    }
    sums.push_back(std::move(sum));
  }
  return sums;
}

// The positions of the class token and of a grid of `from` x `from` patches -> of `to` x `to`.
WeightPtr interpolated(const WeightPtr& positions, int64_t from, int64_t to, bool antialias) {
  const std::vector<RowSum> axis = interpolation(from, to, antialias);
  std::vector<RowSum> rows{{{0, 1.0}}};
  for (const RowSum& down : axis) {
    for (const RowSum& across : axis) {
      RowSum sum;
      for (const RowTerm& y : down) {
        for (const RowTerm& x : across) {
          sum.push_back({1 + y.row * from + x.row, y.factor * x.factor});
        }
      }
      rows.push_back(std::move(sum));
    }
  }
  return row_sums(positions, std::move(rows));
}

//  pixels ── patch_embed with class and register tokens ── layers ── layernorm
Value build_dinov2_tower(const Builder& b,
                         WeightTaker& weights,
                         const VisionConfig& config,
                         const Value& pixel_values) {
  const std::string root = "vision_encoder";
  PatchEmbedWeights embedding = take_vit_embeddings(weights, config);
  const int64_t trained = config.position_size / config.patch_size;
  const int64_t wanted = config.image_size / config.patch_size;
  if (config.position_size != 0 && trained != wanted) {
    const bool antialias = config.model_type == "dinov2_with_registers";
    embedding.positions = interpolated(embedding.positions, trained, wanted, antialias);
  }
  const VitLayerNames names{"norm1", "norm2", "mlp.fc1", "mlp.fc2", true};
  return encoder_layers(b,
                        patch_embed(b, "/encoder/embeddings", pixel_values, embedding),
                        take_vit_layers(weights, config, names),
                        take_last_norm(weights, root + ".layernorm", config),
                        config);
}

// facebook/dinov2-base's preprocessor_config.json: shortest_edge 256, crop_size 224.
constexpr ImageProcessorType kProcessor{
    "BitImageProcessor", "bicubic", kImagenetMean, kImagenetStd, 256.0 / 224.0, 224};

}  // namespace

extern const VisionFamily kDinov2{
    {"dinov2", "dinov2", read_plain, kDinov2UnusedPrefixes, kProcessor, kDinov2Spellings},
    build_dinov2_tower};
extern const VisionFamily kDinov2WithRegisters{{"dinov2_with_registers",
                                                "dinov2_with_registers",
                                                read_with_registers,
                                                kDinov2UnusedPrefixes,
                                                kProcessor,
                                                {}},
                                               build_dinov2_tower};

}  // namespace lorapress
