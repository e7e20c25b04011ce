// The engine's threads natively.
#ifndef LORAPRESS_RUNTIME_NATIVE_POOL_WORKERS_H_
#define LORAPRESS_RUNTIME_NATIVE_POOL_WORKERS_H_

#include <chrono>
#include <thread>
#include <vector>

#include "engine/team.h"

namespace lorapress {

struct ThreadHost {
  static double now() {
    const auto since = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration<double, std::micro>(since).count();
  }
  static void relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }
  static void wait(std::atomic<uint32_t>& value, uint32_t old) { value.wait(old); }
  static void wake(std::atomic<uint32_t>& value) { value.notify_all(); }
};

// Threads that stay, 1 to `threads` with the caller's.
class PoolWorkers final : public engine::Workers {
 public:
  explicit PoolWorkers(unsigned threads) : team_(threads) {
    for (unsigned worker = 1; worker < threads; ++worker) {
      threads_.emplace_back([this, worker] { team_.serve(worker); });
    }
  }
  ~PoolWorkers() override { team_.stop(); }
  PoolWorkers(const PoolWorkers&) = delete;
  PoolWorkers& operator=(const PoolWorkers&) = delete;

  [[nodiscard]] unsigned count() const override { return team_.count(); }
  void run(int64_t parts, Work work, void* data) override { team_.run(parts, work, data); }

 private:
  engine::Team<ThreadHost> team_;
  std::vector<std::jthread> threads_;
};

}  // namespace lorapress

#endif  // LORAPRESS_RUNTIME_NATIVE_POOL_WORKERS_H_
