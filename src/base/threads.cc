#include "base/threads.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace lorapress {

unsigned resolve_threads(unsigned threads) {
  constexpr unsigned kMost = 4;  // memory grows with every worker's buffers
  return threads != 0 ? threads : std::clamp(std::thread::hardware_concurrency(), 1U, kMost);
}

void parallel_for(size_t count,
                  unsigned threads,
                  const std::function<void(size_t index, unsigned worker)>& task) {
  std::atomic<size_t> next{0};
  std::atomic<bool> stop{false};
  std::exception_ptr error;
  std::mutex error_mutex;
  const auto work = [&](unsigned worker) {
    for (size_t index = next++; index < count && !stop; index = next++) {
      try {
        task(index, worker);
      } catch (...) {
        const std::lock_guard lock(error_mutex);
        if (!error) {
          error = std::current_exception();
        }
        stop = true;
      }
    }
  };
  const auto workers = static_cast<unsigned>(std::min<size_t>(resolve_threads(threads), count));
  {
    std::vector<std::jthread> pool;
    for (unsigned worker = 1; worker < workers; ++worker) {
      pool.emplace_back(work, worker);
    }
    work(0);
  }
  if (error) {
    std::rethrow_exception(error);
  }
}

std::shared_future<void> run_async(std::function<void()> task) {
  return std::async(std::launch::async, std::move(task)).share();
}

}  // namespace lorapress
