#include "base/ordered_work.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <gtest/gtest.h>
#include <stdexcept>

namespace lorapress {
namespace {

TEST(OrderedWork, TakesResultsInOrderAndMakesFewAhead) {
  constexpr size_t kCount = 200;
  std::atomic<size_t> made{0};
  std::vector<size_t> taken;
  ordered_work<size_t>(
      kCount,
      3,
      [&](size_t index) {
        if (index % 7 == 0) {
          std::this_thread::sleep_for(std::chrono::microseconds(300));
        }
        ++made;
        return index;
      },
      [&](size_t result) {
        taken.push_back(result);
        EXPECT_LE(made.load(), taken.size() + 9);
      });
  ASSERT_EQ(taken.size(), kCount);
  EXPECT_TRUE(std::ranges::is_sorted(taken));
}

TEST(OrderedWork, PiecesAreEven) {
  EXPECT_EQ(even_piece(256, 2, 8), 8U);
  EXPECT_EQ(even_piece(24, 2, 8), 6U) << "four pieces, not three";
  EXPECT_EQ(even_piece(9, 2, 8), 5U);
  EXPECT_EQ(even_piece(65, 2, 8), 7U);
  for (size_t count = 1; count <= 100; ++count) {
    for (size_t workers = 1; workers <= std::min<size_t>(count, 5); ++workers) {
      const size_t piece = even_piece(count, workers, 8);
      ASSERT_GE(piece, 1U);
      ASSERT_LE(piece, 8U);
      // No worker has more than the others by more than a thing in each of its pieces.
      const size_t rounds = (((count + piece - 1) / piece) + workers - 1) / workers;
      ASSERT_LE(rounds * piece, (count / workers) + rounds + 1) << count << " by " << workers;
    }
  }
}

TEST(OrderedWork, EndsWithTheFirstException) {
  std::atomic<size_t> made{0};
  const auto run = [&](size_t bad_make, size_t bad_take) {
    made = 0;
    size_t taken = 0;
    ordered_work<size_t>(
        1000,
        2,
        [&](size_t index) {
          ++made;
          return index == bad_make ? throw std::runtime_error("make") : index;
        },
        [&](size_t) {
          if (taken++ == bad_take) {
            throw std::runtime_error("take");
          }
        });
  };
  EXPECT_THROW(run(5, 1000), std::runtime_error);
  EXPECT_LT(made, 20U);
  EXPECT_THROW(run(1000, 5), std::runtime_error);
  EXPECT_LT(made, 20U);
  run(1000, 1000);
  EXPECT_EQ(made, 1000U);
}

}  // namespace
}  // namespace lorapress
