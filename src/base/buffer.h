// Memory that is not initialized: these buffers are always filled by a read.
#ifndef LORAPRESS_BASE_BUFFER_H_
#define LORAPRESS_BASE_BUFFER_H_

#include <cstddef>
#include <memory>
#include <span>

namespace lorapress {

template <typename T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(size_t count) { resize(count); }

  // The content is lost when the buffer grows.
  void resize(size_t count) {
    if (count > capacity_) {
      values_ = std::make_unique_for_overwrite<T[]>(count);
      capacity_ = count;
    }
    count_ = count;
  }
  [[nodiscard]] T* data() { return values_.get(); }
  [[nodiscard]] const T* data() const { return values_.get(); }
  [[nodiscard]] size_t size() const { return count_; }
  [[nodiscard]] std::span<T> span() { return {values_.get(), count_}; }
  [[nodiscard]] T& operator[](size_t index) { return values_[index]; }

 private:
  std::unique_ptr<T[]> values_;
  size_t capacity_ = 0;
  size_t count_ = 0;
};

}  // namespace lorapress

#endif  // LORAPRESS_BASE_BUFFER_H_
