// Threads, which the engine does not have: whoever makes it brings some, or it runs on the caller's alone.
#ifndef LORAPRESS_ENGINE_WORKERS_H_
#define LORAPRESS_ENGINE_WORKERS_H_

#include <cstdint>
#include <type_traits>

namespace lorapress::engine {

class Workers {
 public:
  using Work = void (*)(void* data, int64_t part, unsigned worker);

  virtual ~Workers() = default;
  // The caller's thread counts.
  [[nodiscard]] virtual unsigned count() const { return 1; }
  // Calls work(data, part, worker) for every part below `parts`, worker < count(), and returns when all
  // are done. `work` throws nothing.
  virtual void run(int64_t parts, Work work, void* data) {
    for (int64_t part = 0; part < parts; ++part) {
      work(data, part, 0);
    }
  }
};

// work(int64_t part, unsigned worker)
template <typename F>
void for_parts(Workers& workers, int64_t parts, F&& work) {
  if (parts == 1) {
    work(int64_t{0}, 0U);
    return;
  }
  using Plain = std::remove_reference_t<F>;
  workers.run(
      parts,
      [](void* data, int64_t part, unsigned worker) { (*static_cast<Plain*>(data))(part, worker); },
      const_cast<std::remove_const_t<Plain>*>(&work));
}

// work(first, last) over 0 ... count - 1 in pieces of at least `grain`.
template <typename F>
void for_range(Workers& workers, int64_t count, int64_t grain, F&& work) {
  const int64_t most = (count + grain - 1) / grain;
  const int64_t parts = most < 1 ? 1 : most < workers.count() ? most : int64_t{workers.count()};
  for_parts(workers, parts, [&](int64_t part, unsigned) {
    work(count * part / parts, count * (part + 1) / parts);
  });
}

}  // namespace lorapress::engine

#endif  // LORAPRESS_ENGINE_WORKERS_H_
