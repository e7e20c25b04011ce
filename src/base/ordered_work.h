// Pieces of work on several threads whose results are taken in order, by the caller's thread.
#ifndef LORAPRESS_BASE_ORDERED_WORK_H_
#define LORAPRESS_BASE_ORDERED_WORK_H_

#include <condition_variable>
#include <cstddef>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace lorapress {

// How many of `count` things make a piece, at most `most`, so that every one of `workers` gets about as many of them.
// REQUIRES: count, workers and most are at least 1.
inline size_t even_piece(size_t count, size_t workers, size_t most) {
  const auto divided = [](size_t a, size_t b) { return (a / b) + (a % b == 0 ? 0 : 1); };
  const size_t rounds = divided(divided(count, workers), most);
  return divided(count, rounds * workers);
}

// Calls make(i) for every i below `count` on `workers` threads, and take(result) for each result in the order of the
// indices here; at most 2 x `workers` results wait. The first exception of either ends it and is rethrown when no thread
// works any more.
template <typename Result>
void ordered_work(size_t count,
                  unsigned workers,
                  const std::function<Result(size_t index)>& make,
                  const std::function<void(Result result)>& take) {
  std::mutex mutex;
  std::condition_variable changed;
  std::map<size_t, Result> made;
  std::exception_ptr problem;
  size_t next = 0;   // to be made
  size_t taken = 0;  // so far
  const auto work = [&] {
    std::unique_lock lock(mutex);
    while (true) {
      changed.wait(lock,
                   [&] { return problem || next == count || next < taken + size_t{2} * workers; });
      if (problem || next == count) {
        return;
      }
      const size_t index = next++;
      lock.unlock();
      try {
        Result result = make(index);
        lock.lock();
        made.emplace(index, std::move(result));
      } catch (...) {
        lock.lock();
        problem = problem ? problem : std::current_exception();
      }
      changed.notify_all();
    }
  };
  std::vector<std::jthread> threads;
  for (unsigned worker = 0; worker < workers; ++worker) {
    threads.emplace_back(work);
  }
  std::unique_lock lock(mutex);
  while (!problem && taken < count) {
    changed.wait(lock, [&] { return problem || made.contains(taken); });
    if (problem) {
      break;
    }
    auto node = made.extract(taken);
    lock.unlock();
    try {
      take(std::move(node.mapped()));
      lock.lock();
    } catch (...) {
      lock.lock();
      problem = problem ? problem : std::current_exception();
    }
    ++taken;
    changed.notify_all();
  }
  lock.unlock();
  threads.clear();
  if (problem) {
    std::rethrow_exception(problem);
  }
}

}  // namespace lorapress

#endif  // LORAPRESS_BASE_ORDERED_WORK_H_
