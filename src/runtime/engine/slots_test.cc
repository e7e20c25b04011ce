#include "runtime/engine/slots.h"

#include <gtest/gtest.h>
#include <random>

#include "lorapress/error.h"

namespace lorapress {
namespace {

// What rows hold is told twice: moved as rows, and as slots that only copies change.
TEST(SlotTable, RowsGoOnFromTheirParentsWhereverTheyLie) {
  for (const uint32_t seed : {1U, 2U, 3U, 4U, 5U, 6U, 7U, 8U}) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const int64_t images = 1 + random() % 3;
    const int64_t beams = 1 + random() % 5;
    SlotTable table(images, beams);
    std::vector<std::vector<int64_t>> rows(static_cast<size_t>(images * beams));
    std::vector<std::vector<int64_t>> slots(rows.size());
    int64_t next = 0;
    for (int step = 0; step < 50; ++step) {
      std::vector<int64_t> parents;
      std::vector<std::vector<int64_t>> moved;
      for (int64_t row = 0; row < images * beams; ++row) {
        parents.push_back(row / beams * beams + static_cast<int64_t>(random() % beams));
        moved.push_back(rows[static_cast<size_t>(parents.back())]);
      }
      std::vector<SlotTable::Copy> copies = table.branch(parents);
      std::ranges::shuffle(copies, random);
      for (const SlotTable::Copy& copy : copies) {
        EXPECT_EQ(copy.from / beams, copy.to / beams) << "another image's slot";
        slots[static_cast<size_t>(copy.to)] = slots[static_cast<size_t>(copy.from)];
      }
      rows = std::move(moved);
      for (size_t row = 0; row < rows.size(); ++row) {
        rows[row].push_back(next);
        slots[static_cast<size_t>(table.slot(static_cast<int64_t>(row)))].push_back(next);
        ++next;
      }
      for (size_t row = 0; row < rows.size(); ++row) {
        ASSERT_EQ(slots[static_cast<size_t>(table.slot(static_cast<int64_t>(row)))], rows[row]);
      }
    }
  }
}

TEST(SlotTable, CopiesNothingWhereNoRowBranches) {
  SlotTable table(2, 3);
  EXPECT_TRUE(table.branch(std::vector<int64_t>{0, 1, 2, 3, 4, 5}).empty());
  EXPECT_TRUE(table.branch(std::vector<int64_t>{2, 0, 1, 5, 3, 4}).empty());
  EXPECT_EQ(table.slot(0), 2);
  EXPECT_EQ(table.branch(std::vector<int64_t>{0, 0, 1, 3, 4, 5}).size(), 1U);
}

TEST(CacheMemory, IsRefusedWhereNoMachineHasIt) {
  EXPECT_NO_THROW(require_cache_memory(5, 512, 30000));
  for (const int64_t bytes : {int64_t{1} << 40, INT64_MAX, int64_t{-1}}) {
    EXPECT_THROW(require_cache_memory(5, 512, bytes), Error) << bytes;
  }
}

}  // namespace
}  // namespace lorapress
