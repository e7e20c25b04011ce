#include "runtime/engine/slots.h"

#include <array>
#include <numeric>

#include "base/checked.h"
#include "base/fail.h"

namespace lorapress {

SlotTable::SlotTable(int64_t images, int64_t beams)
    : beams_(static_cast<size_t>(beams)), slots_(static_cast<size_t>(images * beams)) {
  std::iota(slots_.begin(), slots_.end(), 0);
}

// The first row that continues a parent takes over its slot; the others get the slots that no row
// continues, so a copy never overwrites a slot that is still to be read.
std::vector<SlotTable::Copy> SlotTable::branch(std::span<const int64_t> parents) {
  constexpr int64_t kNone = -1;
  std::vector<Copy> copies;
  const std::vector<int64_t> before = slots_;
  for (size_t first = 0; first < before.size(); first += beams_) {
    std::vector<bool> taken(beams_);
    for (size_t row = first; row < first + beams_; ++row) {
      const int64_t slot = before[static_cast<size_t>(parents[row])];
      const size_t place = static_cast<size_t>(slot) - first;
      slots_[row] = taken[place] ? kNone : slot;
      taken[place] = true;
    }
    size_t place = 0;
    for (size_t row = first; row < first + beams_; ++row) {
      if (slots_[row] != kNone) {
        continue;
      }
      while (taken[place]) {
        ++place;
      }
      taken[place] = true;
      slots_[row] = static_cast<int64_t>(first + place);
      copies.push_back({before[static_cast<size_t>(parents[row])], slots_[row]});
    }
  }
  return copies;
}

void require_cache_memory(int64_t slots, int64_t capacity, int64_t bytes_per_position) {
  constexpr uint64_t kMostBytes = uint64_t{64} << 30;
  const std::optional<int64_t> all =
      checked_product(std::array{slots, capacity, bytes_per_position});
  if (!all || static_cast<uint64_t>(*all) > kMostBytes) {
    fail(ErrorCode::kInvalidArgument,
         "{} sequences of {} positions need a cache of more than {} GB; take fewer beams, a "
         "smaller batch or fewer new tokens",
         slots,
         capacity,
         kMostBytes >> 30);
  }
}

}  // namespace lorapress
