#include "tensor_list.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/simd.h"

namespace lorapress {
namespace {

// Element i of a tensor is a hash of (key, i), so that any block can be made on its own: the
// finisher of SplitMix64 (Steele, Lea, Flood 2014), two values of 32 bits from each.
uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

LORAPRESS_SIMD void fill_uniform(
    uint64_t key, uint64_t pair, float mean, float step, float* out, size_t pairs) {
  for (size_t i = 0; i < pairs; ++i) {
    uint64_t x = key + (pair + i) * 0x9e3779b97f4a7c15ULL;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    x ^= x >> 31;
    out[2 * i] = mean + step * static_cast<float>(static_cast<int32_t>(x));
    out[2 * i + 1] = mean + step * static_cast<float>(static_cast<int32_t>(x >> 32));
  }
}

// Uniform around `mean` with the given standard deviation, float32.
class RandomWeight : public Weight {
 public:
  RandomWeight(Shape shape, uint64_t key, float mean, float deviation)
      : Weight(DType::kF32, std::move(shape)),
        key_(key),
        mean_(mean),
        step_(deviation * std::sqrt(3.0F) * 0x1p-31F) {}

  void read(const Block& block, std::span<std::byte> out) const override {
    std::vector<float> values(static_cast<size_t>(block.cols) + 2);
    for (int64_t row = 0; row < block.rows; ++row) {
      const auto first = static_cast<uint64_t>((block.row + row) * cols() + block.col);
      const size_t skip = first % 2;
      const auto count = static_cast<size_t>(block.cols);
      fill_uniform(key_, first / 2, mean_, step_, values.data(), (count + skip + 1) / 2);
      std::memcpy(out.data() + static_cast<size_t>(row) * count * sizeof(float),
                  values.data() + skip,
                  count * sizeof(float));
    }
  }

 private:
  uint64_t key_;
  float mean_;
  float step_;
};

}  // namespace

void TensorList::add(const std::string& name, Shape shape, float mean, float deviation) {
  const uint64_t key = mix(seed_ * 0x9e3779b97f4a7c15ULL + ++count_);
  tensors_.push_back(
      {name, cast(std::make_shared<RandomWeight>(std::move(shape), key, mean, deviation), dtype_)});
}

void TensorList::matrix(const std::string& name, int64_t out, int64_t in, float gain) {
  add(name, {out, in}, 0.0F, gain / std::sqrt(static_cast<float>(in)));
}

void TensorList::linear(const std::string& name, int64_t out, int64_t in) {
  matrix(name + ".weight", out, in);
  add(name + ".bias", {out}, 0.0F, 0.02F);
}

void TensorList::layer_norm(const std::string& name, int64_t size) {
  rms_norm(name, size);
  add(name + ".bias", {size}, 0.0F, 0.02F);
}

void TensorList::rms_norm(const std::string& name, int64_t size) {
  add(name + ".weight", {size}, 1.0F, 0.1F);
}

void TensorList::adapted(const std::string& name, int64_t out, int64_t in, float gain) {
  matrix(name + ".base_layer.weight", out, in, gain);
  matrix(name + ".lora_A.default.weight", kRank, in);
  add(name + ".lora_B.default.weight", {out, kRank}, 0.0F, 0.05F);
}

std::vector<NamedWeight> TensorList::take() {
  std::ranges::sort(tensors_, {}, &NamedWeight::name);
  return std::move(tensors_);
}

}  // namespace lorapress
