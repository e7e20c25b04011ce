// Threads of the module: a page's workers over shared memory, if there are any.
#ifndef LORAPRESS_ENGINE_MODULE_MODULE_WORKERS_H_
#define LORAPRESS_ENGINE_MODULE_MODULE_WORKERS_H_

#include <memory>

#include "engine/module/module.h"
#include "engine/team.h"

// Whether the module is linked for shared memory; each link has one file that says so (module_shared.cc).
extern "C" const int lorapress_shared_memory;

namespace lorapress::engine {

struct PageHost {
  static double now() { return lp_host_now() * 1000; }
  static void relax() {}
#if defined(__wasm__)
  static void wait(std::atomic<uint32_t>& value, uint32_t old) {
    constexpr int64_t kMost = 20'000'000;  // nanoseconds
    __builtin_wasm_memory_atomic_wait32(
        reinterpret_cast<int*>(&value), static_cast<int>(old), kMost);
  }
  static void wake(std::atomic<uint32_t>& value) {
    __builtin_wasm_memory_atomic_notify(reinterpret_cast<int*>(&value), UINT32_MAX);
  }
#else
  static void wait(std::atomic<uint32_t>& value, uint32_t old) { value.wait(old); }
  static void wake(std::atomic<uint32_t>& value) { value.notify_all(); }
#endif
};

using PageTeam = Team<PageHost>;

}  // namespace lorapress::engine

#endif  // LORAPRESS_ENGINE_MODULE_MODULE_WORKERS_H_
