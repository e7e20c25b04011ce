// Progress of long work. The library never prints; it calls this.
#ifndef LORAPRESS_PROGRESS_H_
#define LORAPRESS_PROGRESS_H_

#include <cstdint>
#include <functional>
#include <string_view>

namespace lorapress {

struct Progress {
  std::string_view phase;  // "fetch", "write", "check", "caption", "bench"
  uint64_t done;           // bytes for "fetch" and "write", else steps
  uint64_t total;
};

// Called from worker threads, but never from two at once. It may throw to cancel: the work stops,
// the exception comes out of the call, and nothing half-written stays behind.
using ProgressFn = std::function<void(const Progress&)>;

}  // namespace lorapress

#endif  // LORAPRESS_PROGRESS_H_
