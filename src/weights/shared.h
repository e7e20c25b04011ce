// Weights that several files are made of: each part is read and merged once for all that need it at
// about the same time, and shown to them without a copy.
#ifndef LORAPRESS_WEIGHTS_SHARED_H_
#define LORAPRESS_WEIGHTS_SHARED_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "weights/weight.h"

namespace lorapress {

// A bounded store of float32 rows, least recently used out first. Thread safe; the weights it gives
// may outlive it.
class SharedReads {
 public:
  // What is held between reads; readers at work hold a slab of 1 MiB each besides.
  explicit SharedReads(size_t most_bytes = size_t{32} << 20);
  ~SharedReads();
  SharedReads(const SharedReads&) = delete;
  SharedReads& operator=(const SharedReads&) = delete;

  // The weight itself where sharing would not pay: small ones, and those of rows above a slab.
  WeightPtr share(WeightPtr weight);

  // Forgets everything; the weights go on and read again.
  void clear();
  // Values that were read from the weights so far.
  [[nodiscard]] uint64_t values_read() const;

 private:
  class Store;
  class SharedWeight;
  std::shared_ptr<Store> store_;
};

}  // namespace lorapress

#endif  // LORAPRESS_WEIGHTS_SHARED_H_
