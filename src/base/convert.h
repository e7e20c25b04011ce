// Conversion between float32 and the storage dtypes, round to nearest even.
#ifndef LORAPRESS_BASE_CONVERT_H_
#define LORAPRESS_BASE_CONVERT_H_

#include <cstddef>
#include <span>

#include "base/dtype.h"

namespace lorapress {

// `in` holds out.size() elements of `from` (a float dtype), in any alignment.
void to_float32(DType from, std::span<const std::byte> in, std::span<float> out);

// `out` holds in.size() elements of `to` (a float dtype). Overflow becomes an infinity, as IEEE.
void from_float32(DType to, std::span<const float> in, std::span<std::byte> out);

}  // namespace lorapress

#endif  // LORAPRESS_BASE_CONVERT_H_
