// Scales of rows that were packed, kept until they are written.
#ifndef LORAPRESS_QUANT_NBITS_KEPT_H_
#define LORAPRESS_QUANT_NBITS_KEPT_H_

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <vector>

namespace lorapress {

// Integers and scales stand apart in a file, and to find the scales again would mean to read and
// search the whole matrix twice. All kept scales of a process together stay below a bound; what
// does not fit is found again. Thread safe.
class KeptScales {
 public:
  KeptScales(size_t rows, size_t blocks, bool zero_points)
      : rows_(rows), blocks_(blocks), with_zeros_(zero_points) {}
  ~KeptScales() { drop(); }
  KeptScales(const KeptScales&) = delete;
  KeptScales& operator=(const KeptScales&) = delete;

  void keep(size_t row, std::span<const float> scales, std::span<const uint8_t> zero_points);
  // The number of rows from `row` on that are kept (at most `rows`), copied out.
  size_t find(size_t row, size_t rows, std::span<float> scales, std::span<uint8_t> zero_points);
  // Of `total` bytes that wait to be written, `bytes` are: after the last nothing is kept.
  void written(uint64_t bytes, uint64_t total);

 private:
  [[nodiscard]] int64_t bytes() const;
  bool reserve();
  void drop();

  size_t rows_;
  size_t blocks_;
  bool with_zeros_;
  std::mutex mutex_;
  std::vector<float> scales_;
  std::vector<uint8_t> zeros_;
  std::vector<bool> known_;
  uint64_t written_ = 0;
  bool done_ = false;
};

}  // namespace lorapress

#endif  // LORAPRESS_QUANT_NBITS_KEPT_H_
