// Wall-clock time, for reports only.
#ifndef LORAPRESS_BASE_STOPWATCH_H_
#define LORAPRESS_BASE_STOPWATCH_H_

#include <chrono>

namespace lorapress {

class Stopwatch {
 public:
  // Seconds since construction or the last lap().
  [[nodiscard]] double seconds() const {
    return std::chrono::duration<double>(Clock::now() - start_).count();
  }
  [[nodiscard]] double milliseconds() const { return 1000.0 * seconds(); }
  // seconds(), and starts again.
  double lap() {
    const Clock::time_point now = Clock::now();
    const double elapsed = std::chrono::duration<double>(now - start_).count();
    start_ = now;
    return elapsed;
  }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_ = Clock::now();
};

}  // namespace lorapress

#endif  // LORAPRESS_BASE_STOPWATCH_H_
