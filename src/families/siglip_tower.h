// The layers of SigLIP's tower, which other families have with positions of their own.
#ifndef LORAPRESS_FAMILIES_SIGLIP_TOWER_H_
#define LORAPRESS_FAMILIES_SIGLIP_TOWER_H_

#include "blocks/attention.h"
#include "families/family.h"

namespace lorapress {

struct TowerPositions {
  Value position_ids;  // int64, rows of the position table for all patches; absent: in their order
  PaddingMask padding;
};

// config.json by the keys of transformers' configuration_siglip.py; absent keys take `defaults`.
VisionConfig read_siglip_config(const Json& json, std::string_view where, VisionConfig defaults);

Value build_siglip(const Builder& b,
                   WeightTaker& weights,
                   const VisionConfig& config,
                   const Value& pixel_values,
                   const TowerPositions& tower);

}  // namespace lorapress

#endif  // LORAPRESS_FAMILIES_SIGLIP_TOWER_H_
