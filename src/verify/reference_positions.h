// Position embeddings for images of another size, as torch.nn.functional.interpolate computes them.
#ifndef LORAPRESS_VERIFY_REFERENCE_POSITIONS_H_
#define LORAPRESS_VERIFY_REFERENCE_POSITIONS_H_

#include <cstdint>
#include <vector>

namespace lorapress::reference {

// values [1 + from * from, hidden], the class token's row first -> [1 + to * to, hidden]: the grid by
// mode="bicubic", align_corners=False.
template <typename T>
std::vector<T> resized_positions(
    const std::vector<T>& values, int64_t from, int64_t to, int64_t hidden, bool antialias);

}  // namespace lorapress::reference

#endif  // LORAPRESS_VERIFY_REFERENCE_POSITIONS_H_
