// Random tensors of a checkpoint, deterministic in the seed and streamed.
#ifndef LORAPRESS_BENCH_TENSOR_LIST_H_
#define LORAPRESS_BENCH_TENSOR_LIST_H_

#include <cstdint>
#include <string>
#include <vector>

#include "checkpoint/safetensors.h"

namespace lorapress {

// Values of a tensor depend on the seed and on its place in the order of the calls.
class TensorList {
 public:
  TensorList(DType dtype, uint64_t seed) : dtype_(dtype), seed_(seed) {}

  // Uniform around `mean` with the given standard deviation.
  void add(const std::string& name, Shape shape, float mean, float deviation);
  // Normalised input gives output of standard deviation `gain`.
  void matrix(const std::string& name, int64_t out, int64_t in, float gain = 1.0F);
  // NAME.weight and NAME.bias.
  void linear(const std::string& name, int64_t out, int64_t in);
  void layer_norm(const std::string& name, int64_t size);
  void rms_norm(const std::string& name, int64_t size);
  // A layer with a LoRA of kRank, by PEFT's names.
  void adapted(const std::string& name, int64_t out, int64_t in, float gain);

  // Sorted by name, as the trainer's library saves them.
  std::vector<NamedWeight> take();

 private:
  DType dtype_;
  uint64_t seed_;
  uint64_t count_ = 0;
  std::vector<NamedWeight> tensors_;
};
inline constexpr int64_t kRank = 16;

}  // namespace lorapress

#endif  // LORAPRESS_BENCH_TENSOR_LIST_H_
