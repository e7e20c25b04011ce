// Where the rows of Sequences lie in a cache, for any engine.
#ifndef LORAPRESS_RUNTIME_ENGINE_SLOTS_H_
#define LORAPRESS_RUNTIME_ENGINE_SLOTS_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace lorapress {

// A cache has a slot for every row. Rows move by this table and not in memory; a slot is copied only
// where one row becomes several.
class SlotTable {
 public:
  struct Copy {
    int64_t from = 0;
    int64_t to = 0;
  };

  // Rows and slots of an image are image * beams ... (image + 1) * beams - 1.
  SlotTable(int64_t images, int64_t beams);

  [[nodiscard]] int64_t slot(int64_t row) const { return slots_[static_cast<size_t>(row)]; }

  // Row i continues the former row parents[i] of the same image. The engine has to make the returned
  // copies, in any order: no slot is read by one copy and written by another.
  [[nodiscard]] std::vector<Copy> branch(std::span<const int64_t> parents);

 private:
  size_t beams_;
  std::vector<int64_t> slots_;  // of each row
};

// Throws kInvalidArgument when `slots` caches of `capacity` positions exceed 64 GB.
void require_cache_memory(int64_t slots, int64_t capacity, int64_t bytes_per_position);

}  // namespace lorapress

#endif  // LORAPRESS_RUNTIME_ENGINE_SLOTS_H_
