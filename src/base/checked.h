// Arithmetic on numbers that come from files: an overflow is an empty optional, never a wrap.
#ifndef LORAPRESS_BASE_CHECKED_H_
#define LORAPRESS_BASE_CHECKED_H_

#include <cstdint>
#include <optional>
#include <span>

namespace lorapress {

inline std::optional<uint64_t> checked_add(uint64_t a, uint64_t b) {
  uint64_t sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? std::nullopt : std::optional(sum);
}

inline std::optional<uint64_t> checked_mul(uint64_t a, uint64_t b) {
  uint64_t product = 0;
  return __builtin_mul_overflow(a, b, &product) ? std::nullopt : std::optional(product);
}

// Product of non-negative dimensions; empty on a negative one or when it does not fit int64.
inline std::optional<int64_t> checked_product(std::span<const int64_t> dims) {
  int64_t product = 1;
  for (const int64_t dim : dims) {
    if (dim < 0 || __builtin_mul_overflow(product, dim, &product)) {
      return std::nullopt;
    }
  }
  return product;
}

}  // namespace lorapress

#endif  // LORAPRESS_BASE_CHECKED_H_
