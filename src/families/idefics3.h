// Positions of Idefics3's patches, for its graph and its test.
#ifndef LORAPRESS_FAMILIES_IDEFICS3_H_
#define LORAPRESS_FAMILIES_IDEFICS3_H_

#include <cstdint>
#include <vector>

namespace lorapress {

// Idefics3VisionEmbeddings along one side of `grid` patches, [grid + 1, grid]: row n has the positions of all
// patches where n are seen. Coordinate i is i * (1 / n) in float32, at most 1 - 1e-6, and its position
// the number of boundaries 1/grid, 2/grid, ... below 1 that it has reached. A table gives the same
// positions in every dtype.
//
// A coordinate may lie on a boundary, so the boundaries are rounded as torch.arange(1/grid, 1, 1/grid) rounds
// them on CPUs: eight at a time from the first of the eight in float32, in pairs of eights, and what is left one by
// one (aten/src/ATen/native/cpu/RangeFactoriesKernel.cpp). Other devices differ for some grids, of published
// checkpoints' (26, 27 and 32) for none.
std::vector<int64_t> idefics3_positions(int64_t grid);

}  // namespace lorapress

#endif  // LORAPRESS_FAMILIES_IDEFICS3_H_
