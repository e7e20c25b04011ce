// Threads that stay and take small pieces of work: what a job of microseconds needs.
#ifndef LORAPRESS_BASE_THREAD_POOL_H_
#define LORAPRESS_BASE_THREAD_POOL_H_

#include <atomic>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace lorapress {

// Threads wait for work by spinning for some microseconds and then sleep. Parts are taken one by one, so
// a thread that gets no processor delays at most the part it has begun.
class ThreadPool {
 public:
  using Work = void (*)(void* data, int64_t part, unsigned worker);

  explicit ThreadPool(unsigned threads);  // at least 1; the caller's is one of them
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  [[nodiscard]] unsigned count() const { return static_cast<unsigned>(threads_.size()) + 1; }
  // Calls work(data, part, worker) for every part below `parts`, and returns when all are done. A second
  // caller at the same time does its parts alone. REQUIRES: `work` throws nothing.
  void run(int64_t parts, Work work, void* data);

 private:
  void serve(unsigned worker, const std::stop_token& stop);
  // Takes a part of the job that `ticket_` shows; false where none is left.
  bool take(unsigned worker);

  // The job's number and how many of its parts no one has begun. What follows belongs to that job
  // while parts are left or not done.
  std::atomic<uint64_t> ticket_{0};
  Work work_ = nullptr;
  void* data_ = nullptr;
  std::atomic<int64_t> done_{0};
  std::atomic<uint32_t> jobs_{0};  // what sleeping threads wait on
  std::mutex caller_;
  std::vector<std::jthread> threads_;
};

}  // namespace lorapress

#endif  // LORAPRESS_BASE_THREAD_POOL_H_
