#include "base/threads.h"

#include <atomic>
#include <gtest/gtest.h>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace lorapress {
namespace {

TEST(Threads, RunEveryIndexOnce) {
  for (const unsigned threads : {1U, 2U, 3U, 4U, 9U}) {
    for (const size_t count : {size_t{0}, size_t{1}, size_t{2}, size_t{5}, size_t{1000}}) {
      std::vector<std::atomic<int>> runs(count);
      std::atomic<unsigned> most{0};
      parallel_for(count, threads, [&](size_t index, unsigned worker) {
        ++runs.at(index);
        unsigned seen = most;
        while (worker > seen && !most.compare_exchange_weak(seen, worker)) {
        }
      });
      for (size_t i = 0; i < count; ++i) {
        EXPECT_EQ(runs[i], 1) << i << " of " << count << " on " << threads;
      }
      EXPECT_LT(most, threads);
    }
  }
}

TEST(Threads, GoInOrderOnOne) {
  std::vector<size_t> order;
  parallel_for(5, 1, [&](size_t index, unsigned worker) {
    EXPECT_EQ(worker, 0U);
    order.push_back(index);
  });
  EXPECT_EQ(order, (std::vector<size_t>{0, 1, 2, 3, 4}));
}

TEST(Threads, RethrowTheFirstExceptionAndStop) {
  std::vector<size_t> order;
  EXPECT_THROW(parallel_for(100,
                            1,
                            [&](size_t index, unsigned) {
                              order.push_back(index);
                              if (index == 3) {
                                throw std::domain_error("three");
                              }
                            }),
               std::domain_error);
  EXPECT_EQ(order, (std::vector<size_t>{0, 1, 2, 3}));
}

TEST(Threads, RethrowFromAnyWorker) {
  for (unsigned thrower = 0; thrower < 4; ++thrower) {
    std::atomic<unsigned> arrived{0};
    std::atomic<size_t> ran{0};
    try {
      // Every worker holds one task until all four have one, so that `thrower` surely gets one.
      parallel_for(4000, 4, [&](size_t index, unsigned worker) {
        ++ran;
        if (index < 4) {
          ++arrived;
          while (arrived < 4) {
            std::this_thread::yield();
          }
        }
        if (worker == thrower) {
          throw std::runtime_error(std::to_string(worker));
        }
      });
      ADD_FAILURE() << "no exception";
    } catch (const std::runtime_error& error) {
      EXPECT_EQ(error.what(), std::to_string(thrower));
    }
    EXPECT_LE(ran, 4000U);
  }
}

TEST(Threads, DefaultToAFew) {
  EXPECT_GE(resolve_threads(0), 1U);
  EXPECT_LE(resolve_threads(0), 4U);
  EXPECT_EQ(resolve_threads(1), 1U);
  EXPECT_EQ(resolve_threads(17), 17U);
}

TEST(RunBeside, ThrowsWhenAskedFor) {
  std::atomic<bool> go{false};
  std::atomic<bool> done{false};
  {
    const auto work = run_async([&] {
      while (!go) {
        std::this_thread::yield();
      }
      done = true;
    });
    EXPECT_FALSE(done);
    go = true;
    work.get();
    EXPECT_TRUE(done);
    work.get();  // again is no harm
  }
  const auto failing = run_async([] { throw std::runtime_error("broken"); });
  EXPECT_THROW(failing.get(), std::runtime_error);
  const auto forgotten = run_async([] { throw std::runtime_error("nobody asks"); });
}

}  // namespace
}  // namespace lorapress
