// Weights as ONNX files store them, their exact values, and packed forms; for tests of kernels.
#ifndef LORAPRESS_ENGINE_KERNELS_KERNELS_TEST_UTIL_H_
#define LORAPRESS_ENGINE_KERNELS_KERNELS_TEST_UTIL_H_

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "engine/kernels/kernels.h"

namespace lorapress::kernels::test {

// Memory aligned as kernels ask for, with a guard behind it that `intact` looks at.
class Aligned {
 public:
  explicit Aligned(size_t bytes)
      : memory_(bytes + kAlignment + kGuard, std::byte{0xA5}), bytes_(bytes) {}
  [[nodiscard]] std::byte* data() {
    const size_t off = reinterpret_cast<uintptr_t>(memory_.data()) % kAlignment;
    return memory_.data() + (off == 0 ? 0 : kAlignment - off);
  }
  [[nodiscard]] bool intact() {
    for (size_t i = 0; i < kGuard; ++i) {
      if (data()[bytes_ + i] != std::byte{0xA5}) {
        return false;
      }
    }
    return true;
  }

 private:
  static constexpr size_t kGuard = 64;
  std::vector<std::byte> memory_;
  size_t bytes_;
};

// The same numbers from every C++ library, which the library's distributions are not.
class Numbers {
 public:
  explicit Numbers(uint32_t seed) : random_(seed) {}
  int64_t integer(int64_t least, int64_t most) {
    return least + static_cast<int64_t>(random_() % static_cast<uint64_t>(most - least + 1));
  }
  // A sum of four uniform numbers of 16 bits: nearly normal, |value| < 3.5 * scale.
  float normal(float scale = 1.0F) {
    int32_t sum = -2 * 0xFFFF;
    for (int i = 0; i < 2; ++i) {
      const auto bits = static_cast<uint32_t>(random_());
      sum += static_cast<int32_t>((bits & 0xFFFFU) + (bits >> 16U));
    }
    return static_cast<float>(sum) * (1.0F / 37837.0F) * scale;
  }
  // Bits of a float16 number of either sign.
  uint16_t half(int64_t least, int64_t most) {
    const int64_t magnitude = integer(least, most);
    return static_cast<uint16_t>(magnitude | (integer(0, 1) << 15));
  }
  std::vector<float> normals(int64_t count, float scale = 1.0F) {
    std::vector<float> values(static_cast<size_t>(count));
    for (float& value : values) {
      value = normal(scale);
    }
    return values;
  }

 private:
  std::mt19937 random_;
};

inline float half_value(uint16_t half) {
  const int exponent = (half >> 10) & 31;
  const int mantissa = half & 1023;
  const double value =
      exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(mantissa + 1024, exponent - 25);
  return static_cast<float>((half & 0x8000) != 0 ? -value : value);
}

// A weight's tensors and, restored in double precision from the definition of the format,
// values[output * inputs + input].
struct SourceWeight {
  LinearSpec spec;
  std::vector<std::byte> parts[3];
  std::vector<double> values;
};

template <typename Number>
void append(std::vector<std::byte>& bytes, Number value) {
  std::byte raw[sizeof(Number)];
  std::memcpy(raw, &value, sizeof raw);
  bytes.insert(bytes.end(), raw, raw + sizeof raw);
}

enum class Extent : uint8_t { kRandom, kSevenBits, kLargest };  // of integers

inline SourceWeight blocks4(const LinearSpec& spec, Extent extent, Numbers& numbers) {
  SourceWeight weight{spec, {}, {}};
  const int64_t blocks = (spec.inputs + spec.block_size - 1) / spec.block_size;
  weight.values.resize(static_cast<size_t>(spec.outputs * spec.inputs));
  std::vector<int> zeros(static_cast<size_t>(spec.outputs * blocks), 8);
  std::vector<float> scales;
  for (int64_t i = 0; i < spec.outputs * blocks; ++i) {
    const uint16_t half = numbers.half(0x1000, 0x2FFF);
    const float scale = spec.half_scales ? half_value(half) : numbers.normal(0.02F);
    spec.half_scales ? append(weight.parts[1], half) : append(weight.parts[1], scale);
    scales.push_back(scale);
  }
  for (int64_t n = 0; spec.zero_points && n < spec.outputs; ++n) {
    for (int64_t b = 0; b < blocks; b += 2) {
      const int low = static_cast<int>(extent == Extent::kLargest ? 0 : numbers.integer(0, 15));
      const int high = static_cast<int>(extent == Extent::kLargest ? 15 : numbers.integer(0, 15));
      zeros[static_cast<size_t>((n * blocks) + b)] = low;
      if (b + 1 < blocks) {
        zeros[static_cast<size_t>((n * blocks) + b + 1)] = high;
      }
      append(weight.parts[2], static_cast<uint8_t>(low | (high << 4)));
    }
  }
  for (int64_t n = 0; n < spec.outputs; ++n) {
    int low = 0;
    for (int64_t k = 0; k < blocks * spec.block_size; ++k) {
      const auto at = static_cast<size_t>((n * blocks) + (k / spec.block_size));
      const int q = static_cast<int>(extent == Extent::kLargest ? (zeros[at] > 8 ? 0 : 15)
                                                                : numbers.integer(0, 15));
      if (k % 2 == 0) {
        low = q;
      } else {
        append(weight.parts[0], static_cast<uint8_t>(low | (q << 4)));
      }
      if (k < spec.inputs) {
        weight.values[static_cast<size_t>((n * spec.inputs) + k)] =
            double{scales[at]} * (q - zeros[at]);
      }
    }
  }
  return weight;
}

inline SourceWeight channels8(const LinearSpec& spec, Extent extent, Numbers& numbers) {
  SourceWeight weight{spec, {}, {}};
  std::vector<float> scales(static_cast<size_t>(spec.outputs));
  std::vector<int> zeros(scales.size(), 0);
  for (size_t n = 0; n < scales.size(); ++n) {
    const bool same_scale = spec.one_scale && n > 0;
    const bool same_zero = spec.one_zero_point && n > 0;
    scales[n] = same_scale ? scales[0] : numbers.normal(0.01F);
    if (!same_scale) {
      append(weight.parts[1], scales[n]);
    }
    if (spec.zero_points) {
      zeros[n] = same_zero
                     ? zeros[0]
                     : static_cast<int>(numbers.integer(-20, 20)) + (spec.signed_weights ? 0 : 128);
      if (!same_zero) {
        append(weight.parts[2], static_cast<uint8_t>(zeros[n]));
      }
    }
  }
  weight.values.resize(static_cast<size_t>(spec.outputs * spec.inputs));
  const bool outputs_first = spec.order == WeightOrder::kOutputsFirst;
  for (int64_t i = 0; i < spec.outputs * spec.inputs; ++i) {
    const int64_t n = outputs_first ? i / spec.inputs : i % spec.outputs;
    const int64_t k = outputs_first ? i % spec.inputs : i / spec.outputs;
    int q = 0;
    if (extent == Extent::kSevenBits) {  // channels of one end, of the other, of both
      const int64_t most = n % 3 == 1 ? 63 : 64;
      const int64_t least = n % 3 == 0 ? -63 : -64;
      q = static_cast<int>(k == 0 ? most : k == 1 ? least : numbers.integer(least, most));
      q += spec.signed_weights ? 0 : 64;
    } else if (extent == Extent::kLargest) {
      q = spec.signed_weights ? (n % 2 == 0 ? -128 : 127) : (n % 2 == 0 ? 255 : 0);
    } else {
      q = static_cast<int>(spec.signed_weights ? numbers.integer(-128, 127)
                                               : numbers.integer(0, 255));
    }
    append(weight.parts[0], static_cast<uint8_t>(q));
    weight.values[static_cast<size_t>((n * spec.inputs) + k)] =
        double{scales[static_cast<size_t>(n)]} * (q - zeros[static_cast<size_t>(n)]);
  }
  return weight;
}

inline SourceWeight floats(const LinearSpec& spec, Numbers& numbers) {
  SourceWeight weight{spec, {}, {}};
  weight.values.resize(static_cast<size_t>(spec.outputs * spec.inputs));
  const bool outputs_first = spec.order == WeightOrder::kOutputsFirst;
  for (int64_t i = 0; i < spec.outputs * spec.inputs; ++i) {
    const int64_t n = outputs_first ? i / spec.inputs : i % spec.outputs;
    const int64_t k = outputs_first ? i % spec.inputs : i / spec.outputs;
    double& value = weight.values[static_cast<size_t>((n * spec.inputs) + k)];
    if (spec.kind == WeightKind::kFloat16) {
      // All kinds of finite numbers: subnormal ones and 0, of both signs.
      const uint16_t half = numbers.half(0, 0x3BFF);
      append(weight.parts[0], half);
      value = half_value(half);
    } else {
      const float number = numbers.normal(0.05F);
      append(weight.parts[0], number);
      value = number;
    }
  }
  return weight;
}

inline SourceWeight make_weight(const LinearSpec& spec, Extent extent, Numbers& numbers) {
  return spec.kind == WeightKind::kBlocks4     ? blocks4(spec, extent, numbers)
         : spec.kind == WeightKind::kChannels8 ? channels8(spec, extent, numbers)
                                               : floats(spec, numbers);
}

// Packs all parts in pieces of random sizes and in a random order.
inline PackedLinear pack(const SourceWeight& weight,
                         const KernelSet& set,
                         std::byte* data,
                         Numbers& numbers) {
  PackedLinear linear = start_packing(weight.spec, data);
  struct Piece {
    size_t part;
    size_t offset;
    size_t size;
  };
  std::vector<Piece> pieces;
  for (size_t part = 0; part < 3; ++part) {
    const size_t all = weight.parts[part].size();
    const auto kind = static_cast<WeightPart>(part);
    const size_t step =
        numbers.integer(0, 1) == 0 || all == 0 ? 4 : packing_step(weight.spec, kind);
    for (size_t at = 0; at < all;) {
      const auto steps =
          static_cast<size_t>(numbers.integer(1, static_cast<int64_t>(all / step / 2) + 4));
      const size_t size = std::min(all - at, step * steps);
      pieces.push_back({part, at, size});
      at += size;
    }
  }
  for (size_t i = pieces.size(); i > 1; --i) {
    std::swap(pieces[i - 1],
              pieces[static_cast<size_t>(numbers.integer(0, static_cast<int64_t>(i) - 1))]);
  }
  for (const Piece& piece : pieces) {
    pack_bytes(linear,
               static_cast<WeightPart>(piece.part),
               piece.offset,
               weight.parts[piece.part].data() + piece.offset,
               piece.size);
  }
  finish_packing(linear, set);
  return linear;
}

// The weights that every test of products runs over, with `inputs` and `outputs` filled in.
struct Case {
  std::string name;
  LinearSpec spec;
  Extent extent = Extent::kRandom;
};
inline std::vector<Case> all_weights() {
  std::vector<Case> cases;
  for (const Extent extent : {Extent::kRandom, Extent::kLargest}) {
    const std::string end = extent == Extent::kLargest ? " largest" : "";
    for (const int64_t block : {16, 32, 64, 256}) {
      for (const bool zeros : {false, true}) {
        const LinearSpec spec{.kind = WeightKind::kBlocks4,
                              .block_size = block,
                              .zero_points = zeros,
                              .half_scales = block != 64};
        cases.push_back(
            {"4 bit, blocks of " + std::to_string(block) + (zeros ? " with zeros" : "") + end,
             spec,
             extent});
      }
    }
  }
  for (const Extent extent : {Extent::kRandom, Extent::kSevenBits, Extent::kLargest}) {
    for (int form = 0; form < 4; ++form) {
      const LinearSpec spec{
          .kind = WeightKind::kChannels8,
          .order = form < 2 ? WeightOrder::kInputsFirst : WeightOrder::kOutputsFirst,
          .signed_weights = form % 2 == 0,
          .one_scale = form == 3,
          .zero_points = form != 0,
          .one_zero_point = form == 1};
      cases.push_back({"8 bit, form " + std::to_string(form) + ", extent " +
                           std::to_string(static_cast<int>(extent)),
                       spec,
                       extent});
    }
  }
  for (const WeightKind kind : {WeightKind::kFloat32, WeightKind::kFloat16}) {
    for (const WeightOrder order : {WeightOrder::kInputsFirst, WeightOrder::kOutputsFirst}) {
      cases.push_back({kind == WeightKind::kFloat32 ? "float32" : "float16",
                       {.kind = kind, .order = order},
                       Extent::kRandom});
    }
  }
  return cases;
}

// One call of run_linear with everything that it needs; y is [rows, outputs + 3], filled with 7
// before. `threads` splits the tiles into as many calls.
struct Product {
  Epilogue epilogue = Epilogue::kNone;
  bool with_bias = false;
  int64_t parts = 1;
};
inline std::vector<float> multiply(const KernelSet& set,
                                   const SourceWeight& weight,
                                   const std::vector<float>& x,
                                   int64_t rows,
                                   const Product& how,
                                   uint32_t seed) {
  Numbers numbers(seed);
  const LinearSpec& spec = weight.spec;
  Aligned packed(packed_bytes(spec));
  Aligned scratch(linear_scratch_bytes(spec));
  const PackedLinear linear = pack(weight, set, packed.data(), numbers);
  const std::vector<float> bias = numbers.normals(spec.outputs);
  const std::vector<float> other = numbers.normals(rows * spec.outputs);
  const int64_t stride = spec.outputs + 3;
  std::vector<float> y(static_cast<size_t>(rows * stride), 7.0F);
  Aligned values(quantized_bytes(linear.form, rows, spec.inputs));
  LinearRun run;
  run.linear = &linear;
  run.rows = rows;
  run.x = x.data();
  run.x_stride = spec.inputs;
  run.quantized = {linear.form, rows, spec.inputs, values.data()};
  if (linear.form != RowForm::kFloats) {
    const int64_t cut = rows / 2 / 4 * 4;
    set.quantize(x.data(), spec.inputs, run.quantized, 0, cut);
    set.quantize(x.data(), spec.inputs, run.quantized, cut, rows);
  }
  run.y = y.data();
  run.y_stride = stride;
  run.bias = how.with_bias ? bias.data() : nullptr;
  run.epilogue = how.epilogue;
  run.other = other.data();
  run.other_stride = spec.outputs;
  run.scratch = scratch.data();
  for (int64_t part = 0; part < how.parts; ++part) {
    run.first_tile = tiles(spec) * part / how.parts;
    run.last_tile = tiles(spec) * (part + 1) / how.parts;
    set.run_linear(run);
  }
  if (!packed.intact() || !scratch.intact() || !values.intact()) {
    y.assign(1, 0.0F);  // no test takes this for an answer
  }
  return y;
}

// Equal bits, or NaN in both.
inline bool same(float a, float b) {
  return std::memcmp(&a, &b, sizeof a) == 0 || (std::isnan(a) && std::isnan(b));
}
inline int64_t first_difference(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size()) {
    return 0;
  }
  for (size_t i = 0; i < a.size(); ++i) {
    if (!same(a[i], b[i])) {
      return static_cast<int64_t>(i);
    }
  }
  return -1;
}

// All sets that run here but scalar; one that multiplies every weight in bytes once more with weights of 7 bits, as hosts want it
// where bytes are signed.
inline const std::vector<const KernelSet*>& other_sets() {
  static std::vector<KernelSet> seven;
  static const std::vector<const KernelSet*> kSets = [] {
    std::vector<const KernelSet*> sets;
    seven.reserve(kernel_sets().count);
    for (size_t i = 1; i < kernel_sets().count; ++i) {
      const KernelSet& set = *kernel_sets().sets[i];
      if (!set.runs_here()) {
        continue;
      }
      sets.push_back(&set);
      if (set.products == Products::k8) {
        seven.push_back(set);
        seven.back().products = Products::k7;
        sets.push_back(&seven.back());
      }
    }
    return sets;
  }();
  return kSets;
}

}  // namespace lorapress::kernels::test

#endif  // LORAPRESS_ENGINE_KERNELS_KERNELS_TEST_UTIL_H_
