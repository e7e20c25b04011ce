// Weights that several files are made from: each part is read and merged once for all files that
// need it at about the same time, and viewed by their writers without a copy.
#ifndef LORAPRESS_WEIGHTS_SHARED_H_
#define LORAPRESS_WEIGHTS_SHARED_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "weights/weight.h"

namespace lorapress {

// A bounded cache of float32 rows in slabs of at most 1 MiB; the least recently used slab is
// evicted first. Thread safe; weights from share() may outlive it.
class SharedReads {
 public:
  // `most_bytes` bounds the memory held between reads; every reader at work may hold one more slab.
  explicit SharedReads(size_t most_bytes = size_t{32} << 20);
  ~SharedReads();
  SharedReads(const SharedReads&) = delete;
  SharedReads& operator=(const SharedReads&) = delete;

  // A weight of the same dtype, shape and content that reads through the cache. Returns `weight`
  // itself where sharing does not pay: integers, small weights, rows larger than a slab, weights
  // that are not row_wise().
  WeightPtr share(WeightPtr weight);

  // Drops all cached rows. The weights stay valid and read their sources again.
  void clear();
  // The number of values read from the source weights so far.
  [[nodiscard]] uint64_t values_read() const;

 private:
  class Store;
  class SharedWeight;
  std::shared_ptr<Store> store_;
};

}  // namespace lorapress

#endif  // LORAPRESS_WEIGHTS_SHARED_H_
