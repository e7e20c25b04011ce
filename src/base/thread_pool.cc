#include "base/thread_pool.h"

#include <chrono>

namespace lorapress {
namespace {

constexpr auto kSpin = std::chrono::microseconds(40);
constexpr unsigned kPartBits = 24;
constexpr uint64_t kParts = (uint64_t{1} << kPartBits) - 1;

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Spins until ready() or for kSpin.
template <typename F>
bool spin_until(const F& ready) {
  const auto end = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 64; ++i) {
      if (ready()) {
        return true;
      }
      relax();
    }
  } while (std::chrono::steady_clock::now() < end);
  return ready();
}

}  // namespace

ThreadPool::ThreadPool(unsigned threads) {
  for (unsigned worker = 1; worker < threads; ++worker) {
    threads_.emplace_back([this, worker](const std::stop_token& stop) { serve(worker, stop); });
  }
}

ThreadPool::~ThreadPool() {
  for (std::jthread& thread : threads_) {
    thread.request_stop();
  }
  ++jobs_;
  jobs_.notify_all();
}

bool ThreadPool::take(unsigned worker) {
  uint64_t ticket = ticket_.load(std::memory_order_acquire);
  do {
    if ((ticket & kParts) == 0) {
      return false;
    }
  } while (!ticket_.compare_exchange_weak(ticket, ticket - 1, std::memory_order_acq_rel));
  // The part is ours, so the job lasts until it is done.
  work_(data_, static_cast<int64_t>(ticket & kParts) - 1, worker);
  done_.fetch_add(1, std::memory_order_release);
  return true;
}

void ThreadPool::serve(unsigned worker, const std::stop_token& stop) {
  while (true) {
    const uint32_t job =
        jobs_.load();  // before looking for work and for the end, so that no change is missed
    if (stop.stop_requested()) {
      return;
    }
    if (take(worker)) {
      continue;
    }
    if (!spin_until([&] { return jobs_.load(std::memory_order_relaxed) != job; })) {
      jobs_.wait(job);
    }
  }
}

void ThreadPool::run(int64_t parts, Work work, void* data) {
  const std::unique_lock lock(caller_, std::try_to_lock);
  if (!lock.owns_lock() || threads_.empty() || parts <= 1 ||
      static_cast<uint64_t>(parts) > kParts) {
    for (int64_t part = 0; part < parts; ++part) {
      work(data, part, 0);
    }
    return;
  }
  work_ = work;
  data_ = data;
  done_.store(0, std::memory_order_relaxed);
  const uint64_t number = (ticket_.load(std::memory_order_relaxed) >> kPartBits) + 1;
  ticket_.store(number << kPartBits | static_cast<uint64_t>(parts), std::memory_order_release);
  ++jobs_;
  jobs_.notify_all();
  while (take(0)) {
  }
  const auto all_done = [&] { return done_.load(std::memory_order_acquire) == parts; };
  while (!spin_until(all_done)) {
    std::this_thread::yield();
  }
}

}  // namespace lorapress
