// Idefics3 and SmolVLM (transformers modeling_idefics3.py, modeling_smolvlm.py): SigLIP's layers over
// tiles of one size, positions from the mask of patches, and a pixel shuffle before one Linear.
// Their decoder is any decoder of the registry, Llama in published checkpoints.
#include "families/idefics3.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/fail.h"
#include "blocks/shapes.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/config_fields.h"
#include "families/siglip_tower.h"

namespace lorapress {
namespace {

constexpr NamePrefix kIdefics3Names[] = {
    {"model.vision_model.", "vision_encoder."},
    {"model.connector.modality_projection.proj.", "projection.projection."},
    {"model.text_model.", "language_model.model."},
    {"lm_head.", "language_model.lm_head."},
};

// transformers configuration_idefics3.py, Idefics3VisionConfig; SmolVLM's is the same.
VisionConfig read_vision(const Json& json, std::string_view where) {
  VisionConfig defaults;
  defaults.hidden_size = 1152;
  defaults.num_attention_heads = 16;
  defaults.patch_size = 32;
  return read_siglip_config(json, where, defaults);
}

std::optional<ProjectionConfig> read_connector(const Json& json, std::string_view where) {
  ProjectionConfig config;
  config.type = ProjectionType::kPixelShuffle;
  config.biased = false;
  config.scale_factor = config_fields::dimension(json, "scale_factor", 2, where, 64);
  const auto vision = json.find("vision_config");
  if (vision != json.end() && vision->is_object()) {
    const VisionConfig tower = read_vision(*vision, where);
    config_fields::require_divisible(tower.image_size / tower.patch_size,
                                     config.scale_factor,
                                     "patches of a side by scale_factor",
                                     where);
  }
  return config;
}

// Idefics3Config and SmolVLMConfig.
void read_idefics3(const Json& json, std::string_view where, Checkpoint& checkpoint) {
  const int64_t id = config_fields::token_id(json, "image_token_id", where);
  constexpr int64_t kDefault = 128257;
  checkpoint.image_token_id = id >= 0 ? id : kDefault;
}

std::vector<float> position_boundaries(int64_t grid) {
  constexpr size_t kLanes = 8;
  const double step = 1.0 / static_cast<double>(grid);
  const auto at = [step](size_t i) { return step + static_cast<double>(i) * step; };
  std::vector<float> boundaries(static_cast<size_t>(std::ceil((1.0 - step) / step)));
  const size_t whole = boundaries.size() / (2 * kLanes) * (2 * kLanes);
  for (size_t i = 0; i < boundaries.size(); ++i) {
    const size_t lane = i < whole ? i % kLanes : 0;
    const auto first = static_cast<float>(at(i - lane));
    boundaries[i] =
        static_cast<float>(static_cast<double>(first) + static_cast<double>(lane) * step);
  }
  return boundaries;
}

Value integer_tensor(const Builder& b,
                     const std::string& name,
                     const std::vector<int64_t>& values,
                     Shape shape) {
  const auto bytes = std::as_bytes(std::span(values));
  return b.graph.initializer(
      name, constant_weight(DType::kI64, std::move(shape), {bytes.begin(), bytes.end()}));
}

Value build_idefics3(const Builder& b,
                     WeightTaker& weights,
                     const VisionConfig& config,
                     const Value& pixel_values) {
  const int64_t grid = config.image_size / config.patch_size;
  const std::vector<int64_t> table = idefics3_positions(grid);
  const auto whole = std::span(table).last(static_cast<size_t>(grid));
  std::vector<int64_t> ids;
  for (const int64_t row : whole) {
    for (const int64_t column : whole) {
      ids.push_back(row * grid + column);
    }
  }
  const Value positions = integer_tensor(b, "/encoder/position_ids", ids, {std::ssize(ids)});
  return build_siglip(b, weights, config, pixel_values, {positions, {}});
}

//  patch_mask ─┬─ first column ── ReduceSum ── Gather(buckets) ── x grid ─┐
//              ├─ first row ───── ReduceSum ── Gather(buckets) ──────────Add ── Where(mask, , 0)
//              └─ Where(mask, 0, lowest): what attention adds
Value build_masked(const Builder& b,
                   WeightTaker& weights,
                   const VisionConfig& config,
                   const Value& pixel_values,
                   const Value& patch_mask) {
  Graph& graph = b.graph;
  const std::string scope = "/encoder/positions";
  const int64_t grid = config.image_size / config.patch_size;
  const Value buckets =
      integer_tensor(b, scope + "/buckets", idefics3_positions(grid), {grid + 1, grid});
  const Value numbers = to_dtype(b, scope + "/mask", patch_mask, DType::kI64);
  const auto along = [&](const std::string& name, int64_t first_of) {  // -> [batch, grid]
    const Value line = graph.op(
        "Gather", scope + "/" + name + "_line", {numbers, graph.integer(0)}, {{"axis", first_of}});
    const Value count = graph.op("ReduceSum",
                                 scope + "/" + name + "_count",
                                 {line, graph.integers({1})},
                                 {{"keepdims", int64_t{0}}});
    return graph.op("Gather", scope + "/" + name, {buckets, count}, {{"axis", int64_t{0}}});
  };
  const Value rows =
      graph.op("Unsqueeze", scope + "/row_column", {along("rows", 2), graph.integers({2})});
  const Value columns =
      graph.op("Unsqueeze", scope + "/column_row", {along("columns", 1), graph.integers({1})});
  const Value scaled = graph.op("Mul", scope + "/row_start", {rows, graph.integer(grid)});
  const Value sum = graph.op("Add", scope + "/Add", {scaled, columns});
  const Value seen = graph.op("Where", scope + "/seen", {patch_mask, sum, graph.integer(0)});
  const Value flat = graph.integers({-1, grid * grid});
  const Value ids = graph.op("Reshape", scope + "/ids", {seen, flat});
  const Value visible = graph.op(
      "Reshape", scope + "/visible", {patch_mask, graph.integers({-1, 1, 1, grid * grid})});
  const Value scores =
      graph.op("Where",
               scope + "/scores",
               {visible, graph.scalar(0.0F), graph.scalar(std::numeric_limits<float>::lowest())});
  return build_siglip(
      b, weights, config, pixel_values, {ids, {all_of(b, scope + "/none", patch_mask), scores}});
}

}  // namespace

std::vector<int64_t> idefics3_positions(int64_t grid) {
  const std::vector<float> boundaries = position_boundaries(grid);
  std::vector<int64_t> table(static_cast<size_t>((grid + 1) * grid));
  for (int64_t patches = 1; patches <= grid; ++patches) {
    for (int64_t i = 0; i < grid; ++i) {
      const float coordinate =
          std::min(static_cast<float>(i) * (1.0F / static_cast<float>(patches)), 1.0F - 1e-6F);
      table[static_cast<size_t>(patches * grid + i)] =
          std::ranges::upper_bound(boundaries, coordinate) - boundaries.begin();
    }
  }
  return table;
}

extern const VisionFamily kIdefics3Vision, kSmolvlmVision;
const VisionFamily kIdefics3Vision{{"idefics3_vision",
                                    "idefics3",
                                    read_vision,
                                    {},
                                    {"Idefics3ImageProcessor", "lanczos", kHalf, kHalf},
                                    {},
                                    true},
                                   build_idefics3,
                                   build_masked};
const VisionFamily kSmolvlmVision{{"smolvlm_vision",
                                   "smolvlm",
                                   read_vision,
                                   {},
                                   {"SmolVLMImageProcessor", "lanczos", kHalf, kHalf},
                                   {},
                                   true},
                                  build_idefics3,
                                  build_masked};

extern const CompositeModelType kIdefics3Model, kSmolvlmModel;
const CompositeModelType kIdefics3Model{"idefics3",
                                        "Idefics3ForConditionalGeneration",
                                        Conditioning::kPlaceholder,
                                        "vision_config",
                                        "text_config",
                                        kIdefics3Names,
                                        read_connector,
                                        read_idefics3};
const CompositeModelType kSmolvlmModel{"smolvlm",
                                       "SmolVLMForConditionalGeneration",
                                       Conditioning::kPlaceholder,
                                       "vision_config",
                                       "text_config",
                                       kIdefics3Names,
                                       read_connector,
                                       read_idefics3};

}  // namespace lorapress
