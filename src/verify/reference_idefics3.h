// What Idefics3 and SmolVLM add to a SigLIP tower (transformers models/idefics3/modeling_idefics3.py), for
// reference_vision.cc.
#ifndef LORAPRESS_VERIFY_REFERENCE_IDEFICS3_H_
#define LORAPRESS_VERIFY_REFERENCE_IDEFICS3_H_

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "verify/rows.h"

namespace lorapress::reference {

bool is_idefics3_tower(std::string_view model_type);

// Idefics3Model.get_image_features: of `size` x `size` pixels, whether each whole patch has one that is
// seen, [grid * grid].
std::vector<uint8_t> seen_patches(std::span<const uint8_t> seen_pixels,
                                  int64_t size,
                                  int64_t patch);

// Idefics3VisionEmbeddings.forward: the position of each patch of a square of `grid` patches, 0 for those
// that are not seen. How many rows are seen is counted in the first column, how many columns in the
// first row.
std::vector<int64_t> idefics3_position_ids(std::span<const uint8_t> seen, int64_t grid);

// Idefics3Connector.pixel_shuffle: x holds the patches of each tile, row by row; squares of scale x scale
// patches become one row, their patches side by side, row by row.
template <typename T>
BasicRows<T> pixel_shuffle(const BasicRows<T>& x, int64_t grid, int64_t scale);

}  // namespace lorapress::reference

#endif  // LORAPRESS_VERIFY_REFERENCE_IDEFICS3_H_
