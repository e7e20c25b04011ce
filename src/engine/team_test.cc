#include "engine/team.h"

#include <gtest/gtest.h>
#include <thread>
#include <vector>

#include "runtime/native/pool_workers.h"

namespace lorapress {
namespace {

using engine::Team;

// Every part of a job once, whatever threads do.
TEST(Team, DoesEveryPartOnce) {
  PoolWorkers workers(3);
  for (int64_t job = 0; job < 2000; ++job) {
    const int64_t parts = 1 + job % 17;
    std::vector<std::atomic<int>> done(static_cast<size_t>(parts));
    std::atomic<bool> strange = false;
    engine::for_parts(workers, parts, [&](int64_t part, unsigned worker) {
      ++done[static_cast<size_t>(part)];
      strange = strange || worker >= 3;
    });
    for (const std::atomic<int>& times : done) {
      ASSERT_EQ(times, 1) << "job " << job;
    }
    ASSERT_FALSE(strange);
  }
}

TEST(Team, CallersAtTheSameTimeDoTheirPartsAlone) {
  PoolWorkers workers(2);
  std::atomic<int> done = 0;
  {
    std::vector<std::jthread> callers;
    for (int caller = 0; caller < 3; ++caller) {
      callers.emplace_back([&] {
        for (int job = 0; job < 300; ++job) {
          engine::for_parts(workers, 4, [&](int64_t, unsigned) { ++done; });
        }
      });
    }
  }
  EXPECT_EQ(done, 3 * 300 * 4);
}

// A clock that moves when work is done, and a worker that is never there.
struct SlowHost {
  static inline std::atomic<double> time = 0;
  static inline std::atomic<int> woken = 0;
  static double now() { return time; }
  static void relax() {}
  static void wait(std::atomic<uint32_t>& /*value*/, uint32_t /*old*/) {}
  static void wake(std::atomic<uint32_t>& /*value*/) { ++woken; }
};

TEST(Team, WorksWithoutItsWorkersAndWithoutWaitingForThem) {
  Team<SlowHost> team(2);
  int64_t done = 0;
  for (int job = 0; job < 100; ++job) {
    engine::for_parts(team, 8, [&](int64_t, unsigned worker) {
      EXPECT_EQ(worker, 0U);
      SlowHost::time = SlowHost::time + 100;
      ++done;
    });
  }
  EXPECT_EQ(done, 800);
}

// A worker that takes a part and then has no processor for ten times as long as the whole job would take: after
// a few milliseconds of that the caller works alone, and tries again later.
TEST(Team, LeavesWorkersThatCostMoreThanTheyDo) {
  Team<ThreadHost> team(2);
  std::atomic<bool> slow = true;
  std::atomic<int> theirs = 0;
  std::jthread thread([&] { team.serve(1); });
  const auto job = [&] {
    engine::for_parts(team, 4, [&](int64_t, unsigned worker) {
      if (worker == 1) {
        ++theirs;
        std::this_thread::sleep_for(slow ? std::chrono::milliseconds(2)
                                         : std::chrono::microseconds(50));
      } else {
        const double end = ThreadHost::now() + 50;
        while (ThreadHost::now() < end) {
        }
      }
    });
  };
  for (int i = 0; i < 10; ++i) {
    job();
  }
  const int at_first = theirs;
  const double begin = ThreadHost::now();
  for (int i = 0; i < 50; ++i) {
    job();
  }
  EXPECT_LE(theirs - at_first, 10);
  EXPECT_LT(ThreadHost::now() - begin, 60'000) << "of 50 jobs that take 0.2 ms alone";
  team.stop();
}

}  // namespace
}  // namespace lorapress
