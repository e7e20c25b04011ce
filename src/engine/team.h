// Threads that take small pieces of work, as a job of microseconds needs. The threads themselves, the clock and
// sleep are the host's: std::jthread natively, a page's workers over shared memory.
//
//   run(parts):  ticket = (job number, parts) ; caller and workers take parts one by one from it
//                caller: no part left ─► waits for the parts that others have begun, and for no one else
//   serve():     spins for a job for kSpin, then sleeps
//
// On a busy machine a worker may lose its processor with a part in its hands. So the team measures: where sharing
// gained too little for some milliseconds, the caller works alone for a while and then tries again.
#ifndef LORAPRESS_ENGINE_TEAM_H_
#define LORAPRESS_ENGINE_TEAM_H_

#include <algorithm>
#include <atomic>

#include "engine/workers.h"

namespace lorapress::engine {

// Host:  static double now()                 microseconds
//        static void relax()                 inside of a loop that spins
//        static void wait(std::atomic<uint32_t>& value, uint32_t old)   until it is another, or for no reason, or for some ms
//        static void wake(std::atomic<uint32_t>& value)                 all who wait
template <typename Host>
class Team final : public Workers {
 public:
  static constexpr double kSpin = 40;  // microseconds

  // The caller's thread counts; at least 1.
  explicit Team(unsigned threads) : threads_(threads) {}

  [[nodiscard]] unsigned count() const override { return threads_; }
  // One caller at a time has the team; a second one does its parts alone.
  void run(int64_t parts, Work work, void* data) override;

  // A worker's life, 1 <= worker < count(), until stop().
  void serve(unsigned worker);
  void stop() {
    stopped_.store(true);
    ++jobs_;
    Host::wake(jobs_);
  }

 private:
  static constexpr unsigned kPartBits = 24;
  static constexpr uint64_t kParts = (uint64_t{1} << kPartBits) - 1;
  static constexpr double kWindow = 4000;  // microseconds of jobs, after which the gain is judged
  static constexpr double kLeastGain = 1.15;    // of time alone over time together
  static constexpr double kFirstPause = 20000;  // alone, before the next try
  static constexpr double kMostPause = 320000;

  template <typename F>
  static bool spin_until(const F& ready) {
    const double end = Host::now() + kSpin;
    do {
      for (int i = 0; i < 64; ++i) {
        if (ready()) {
          return true;
        }
        Host::relax();
      }
    } while (Host::now() < end);
    return ready();
  }

  // Takes a part of the job that `ticket_` shows; false where none is left.
  bool take(unsigned worker);
  void share(uint32_t parts, Work work, void* data);
  void judge(double now);

  const unsigned threads_;
  // The job's number and how many of its parts no one has begun. What follows belongs to that job
  // while parts are left or not done.
  std::atomic<uint64_t> ticket_{0};
  Work work_ = nullptr;
  void* data_ = nullptr;
  std::atomic<uint32_t> done_{0};
  std::atomic<uint32_t> caller_sleeps_{0};
  std::atomic<uint32_t> jobs_{0};  // what sleeping workers wait on
  std::atomic<uint32_t> sleepers_{0};
  std::atomic<bool> stopped_{false};
  std::atomic<bool> busy_{false};  // a caller has the team
  // Since the last judgement: microseconds of jobs, of them those in which the caller waited, parts, of them the caller's.
  double together_ = 0;
  double waited_ = 0;
  double parts_ = 0;
  double own_ = 0;
  double alone_until_ = 0;
  double pause_ = kFirstPause;
};

template <typename Host>
bool Team<Host>::take(unsigned worker) {
  uint64_t ticket = ticket_.load(std::memory_order_acquire);
  do {
    if ((ticket & kParts) == 0) {
      return false;
    }
  } while (!ticket_.compare_exchange_weak(ticket, ticket - 1, std::memory_order_acq_rel));
  // The part is ours, so the job lasts until it is done.
  work_(data_, static_cast<int64_t>(ticket & kParts) - 1, worker);
  done_.fetch_add(1);
  if (worker != 0 && caller_sleeps_.load() != 0) {
    Host::wake(done_);
  }
  return true;
}

template <typename Host>
void Team<Host>::serve(unsigned worker) {
  while (true) {
    // Before looking for work and for the end, so that no change is missed.
    const uint32_t job = jobs_.load();
    if (stopped_.load()) {
      return;
    }
    if (take(worker)) {
      continue;
    }
    if (!spin_until([&] { return jobs_.load(std::memory_order_relaxed) != job; })) {
      ++sleepers_;
      Host::wait(jobs_, job);
      --sleepers_;
    }
  }
}

template <typename Host>
void Team<Host>::run(int64_t parts, Work work, void* data) {
  const bool shareable = threads_ > 1 && parts > 1 && parts <= static_cast<int64_t>(kParts);
  if (!shareable || busy_.exchange(true, std::memory_order_acquire)) {
    for (int64_t part = 0; part < parts; ++part) {
      work(data, part, 0);
    }
    return;
  }
  if (alone_until_ > 0 && Host::now() < alone_until_) {
    for (int64_t part = 0; part < parts; ++part) {
      work(data, part, 0);
    }
  } else {
    share(static_cast<uint32_t>(parts), work, data);
  }
  busy_.store(false, std::memory_order_release);
}

template <typename Host>
void Team<Host>::share(uint32_t parts, Work work, void* data) {
  const double begin = Host::now();
  work_ = work;
  data_ = data;
  done_.store(0, std::memory_order_relaxed);
  const uint64_t number = (ticket_.load(std::memory_order_relaxed) >> kPartBits) + 1;
  ticket_.store(number << kPartBits | parts);
  ++jobs_;
  if (sleepers_.load() != 0) {
    Host::wake(jobs_);
  }
  uint32_t own = 0;
  while (take(0)) {
    ++own;
  }
  const double finished = Host::now();
  const auto all_done = [&] { return done_.load(std::memory_order_acquire) == parts; };
  while (!all_done() && !spin_until(all_done)) {
    caller_sleeps_.store(1);
    if (const uint32_t done = done_.load(); done != parts) {
      Host::wait(done_, done);
    }
    caller_sleeps_.store(0);
  }
  const double now = Host::now();
  together_ += now - begin;
  waited_ += now - finished;
  parts_ += parts;
  own_ += own;
  if (together_ > kWindow) {
    judge(now);
  }
}

// The caller's own parts took the time in which it did not wait; alone it would have had all of them.
template <typename Host>
void Team<Host>::judge(double now) {
  const double alone = own_ > 0 ? (together_ - waited_) * parts_ / own_ : kLeastGain * together_;
  if (alone < kLeastGain * together_) {
    alone_until_ = now + pause_;
    pause_ = std::min(2 * pause_, kMostPause);
  } else {
    alone_until_ = 0;
    pause_ = kFirstPause;
  }
  together_ = waited_ = parts_ = own_ = 0;
}

}  // namespace lorapress::engine

#endif  // LORAPRESS_ENGINE_TEAM_H_
