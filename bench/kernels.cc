// How fast the engine's kernels are on this machine, each beside what bounds it, measured in turns in one run:
//   usage: build/bench/bench_kernels [SET...]
// Products: least time of many calls on one thread, GMAC/s, beside a loop of the same multiply-add instructions on
// registers alone. Single rows read weights that fit no cache: GB/s, beside a plain read of the same memory.
#include "engine/kernels/kernels.h"

#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <time.h>
#include <vector>

#include "kernels_bounds.h"

namespace {

using namespace lorapress::kernels;

// Short pieces are timed by the wall, where a piece that nothing interrupts is what counts; long ones by the thread's own
// time, in which other programs only count by what they do to caches and memory.
enum class Clock { kWall, kThread };
double seconds(Clock clock) {
  timespec now{};
  clock_gettime(clock == Clock::kWall ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + (1e-9 * static_cast<double>(now.tv_nsec));
}

class Memory {
 public:
  explicit Memory(size_t bytes) : memory_(bytes + kAlignment) {}
  std::byte* data() {
    const size_t off = reinterpret_cast<uintptr_t>(memory_.data()) % kAlignment;
    return memory_.data() + (kAlignment - off);
  }

 private:
  std::vector<std::byte> memory_;
};

PackedLinear make_weight(LinearSpec spec, const KernelSet& set, Memory& memory) {
  PackedLinear linear = start_packing(spec, memory.data());
  std::minstd_rand random(1);
  for (const WeightPart part :
       {WeightPart::kWeights, WeightPart::kScales, WeightPart::kZeroPoints}) {
    const size_t size = part_bytes(spec, part);
    std::vector<std::byte> bytes(size);
    for (size_t i = 0; i < size; ++i) {
      bytes[i] = static_cast<std::byte>(random());
    }
    const bool floats = part == WeightPart::kScales || spec.kind == WeightKind::kFloat32;
    for (size_t i = 0; floats && i + 4 <= size; i += 4) {
      const float value = static_cast<float>(static_cast<int>(bytes[i])) / 4096;
      std::memcpy(bytes.data() + i, &value, 4);
    }
    if (spec.kind == WeightKind::kFloat16) {
      for (size_t i = 1; i < size; i += 2) {
        bytes[i] &= std::byte{0x2F};
      }
    }
    if (spec.kind == WeightKind::kChannels8 && spec.signed_weights &&
        part == WeightPart::kWeights) {
      for (std::byte& byte : bytes) {
        byte = static_cast<std::byte>((static_cast<int>(byte) & 127) - 64);
      }
    }
    pack_bytes(linear, part, 0, bytes.data(), size);
  }
  finish_packing(linear, set);
  return linear;
}

// The least seconds of `work`, of as many calls as fit `budget` seconds of the wall.
template <typename Work>
double least_seconds(Clock clock, double budget, const Work& work) {
  double least = 1e30;
  const double end = seconds(Clock::kWall) + budget;
  do {
    const double start = seconds(clock);
    work();
    least = std::min(least, seconds(clock) - start);
  } while (seconds(Clock::kWall) < end);
  return least;
}

bool is_tiled(const KernelSet& set) {
  return std::strcmp(set.name, "amx_int8") == 0;
}
// Whether its vectors have 512 bits.
bool is_wide(const KernelSet& set) {
  return is_tiled(set) || std::strcmp(set.name, "avx512_wide") == 0;
}

struct Shape {
  const char* name;
  LinearSpec spec;
  int64_t rows;
  Bound bound;
  bool has_ends = false;  // of blocks, which `bound` does not count and `with_ends` does
  Bound with_ends = bound;
};

void measure(const KernelSet& set, Shape shape) {
  const LinearSpec& spec = shape.spec;
  Memory weights(packed_bytes(spec));
  Memory scratch(linear_scratch_bytes(spec));
  const PackedLinear linear = make_weight(spec, set, weights);
  std::vector<float> x(static_cast<size_t>(shape.rows * spec.inputs));
  std::minstd_rand random(2);
  for (float& value : x) {
    value = static_cast<float>(static_cast<int>(random() % 2000) - 1000) / 700;
  }
  std::vector<float> y(static_cast<size_t>(shape.rows * spec.outputs));
  Memory rows(quantized_bytes(linear.form, shape.rows, spec.inputs));
  LinearRun run;
  run.linear = &linear;
  run.rows = shape.rows;
  run.x = x.data();
  run.x_stride = spec.inputs;
  run.quantized = {linear.form, shape.rows, spec.inputs, rows.data()};
  run.y = y.data();
  run.y_stride = spec.outputs;
  run.last_tile = tiles(spec);
  run.scratch = scratch.data();
  if (linear.form != RowForm::kFloats) {
    set.quantize(x.data(), spec.inputs, run.quantized, 0, shape.rows);
  }
  const double macs = static_cast<double>(shape.rows * spec.inputs * spec.outputs);
  const Clock clock = shape.rows > 1 ? Clock::kWall : Clock::kThread;
  double reached = 1e30;
  double bound = 1e30;  // seconds for as many multiply-adds, or for reading as many bytes
  double with_ends = 1e30;
  for (int turn = 0; turn < 6; ++turn) {
    reached = std::min(reached, least_seconds(clock, 0.15, [&] { set.run_linear(run); }));
    if (shape.rows > 1) {
      bound = std::min(bound,
                       least_seconds(clock, 0.05, [&] { multiply_registers(shape.bound); }) /
                           kRegisterMacs * macs);
      if (shape.has_ends) {
        with_ends =
            std::min(with_ends,
                     least_seconds(clock, 0.05, [&] { multiply_registers(shape.with_ends); }) /
                         kRegisterMacs * macs);
      }
    } else {
      bound = std::min(bound, least_seconds(clock, 0.15, [&] {
                         read_bytes(weights.data(), packed_bytes(spec));
                       }));
    }
  }
  const double bytes = static_cast<double>(packed_bytes(spec));
  const std::string ends =
      shape.has_ends ? ", with the ends of blocks " +
                           std::to_string(static_cast<int>(100 * with_ends / reached + 0.5)) + " %"
                     : "";
  std::printf("%-12s %-34s %8.2f %s of %8.2f: %3.0f %%%s\n",
              set.name,
              shape.name,
              (shape.rows > 1 ? macs : bytes) / reached / 1e9,
              shape.rows > 1 ? "GMAC/s" : "GB/s  ",
              (shape.rows > 1 ? macs : bytes) / bound / 1e9,
              100 * bound / reached,
              ends.c_str());
}

void measure_attention(const KernelSet& set,
                       const char* name,
                       int64_t queries,
                       int64_t keys,
                       int64_t heads,
                       int64_t kv_heads,
                       bool causal) {
  constexpr int64_t kDim = 64;
  std::vector<float> q(static_cast<size_t>(queries * heads * kDim), 0.25F);
  std::vector<float> k(static_cast<size_t>(keys * kv_heads * kDim), 0.5F);
  std::vector<float> v(k.size(), 0.75F);
  std::vector<float> out(q.size());
  Memory scratch(attention_scratch_bytes(keys, kDim));
  AttentionRun run;
  run.q = q.data();
  run.q_row = heads * kDim;
  run.q_head = kDim;
  run.k = k.data();
  run.v = v.data();
  run.kv_head = keys * kDim;
  run.out = out.data();
  run.out_row = run.q_row;
  run.out_head = kDim;
  run.heads = heads;
  run.kv_heads = kv_heads;
  run.head_dim = kDim;
  run.queries = queries;
  run.keys = keys;
  run.causal = causal;
  run.scale = 0.125F;
  run.last_head = heads;
  run.scratch = scratch.data();
  const double pairs = causal ? static_cast<double>(queries * (keys - queries)) +
                                    (static_cast<double>(queries * (queries + 1)) / 2)
                              : static_cast<double>(queries * keys);
  const double macs = 2 * pairs * static_cast<double>(heads * kDim);
  const Bound floats = is_wide(set) ? Bound::kFloatsWide : Bound::kFloats;
  double reached = 1e30;
  double bound = 1e30;
  for (int turn = 0; turn < 4; ++turn) {
    reached = std::min(reached, least_seconds(Clock::kWall, 0.1, [&] { set.attention(run); }));
    bound = std::min(bound,
                     least_seconds(Clock::kWall, 0.05, [&] { multiply_registers(floats); }) /
                         kRegisterMacs * macs);
  }
  std::printf("%-12s %-34s %8.2f GMAC/s of %8.2f: %3.0f %%  (%.3f ms)\n",
              set.name,
              name,
              macs / reached / 1e9,
              macs / bound / 1e9,
              100 * bound / reached,
              1e3 * reached);
}

void measure_set(const KernelSet& set) {
  const bool vnni = set.products == Products::k8;
  const Bound dot = is_tiled(set) ? Bound::kTiles8 : is_wide(set) ? Bound::kDot8Wide : Bound::kDot8;
  const Bound floats = is_wide(set) ? Bound::kFloatsWide : Bound::kFloats;
  const Bound ends = is_wide(set) ? Bound::kBlocks4Wide : Bound::kBlocks4;
  const bool has_ends =
      std::strncmp(set.name, "avx512", 6) == 0;  // the instructions of these bounds
  const Bound pairs4 = vnni                            ? dot
                       : set.products == Products::k16 ? Bound::kPairs16
                                                       : Bound::kPairs8;
  const Bound narrow = vnni                            ? dot
                       : set.products == Products::k16 ? Bound::kPairs16
                                                       : Bound::kPairs8Widened;
  const Bound wide = vnni ? dot : Bound::kPairs16;
  const auto four = [](int64_t inputs, int64_t outputs) {
    return LinearSpec{.kind = WeightKind::kBlocks4, .inputs = inputs, .outputs = outputs};
  };
  const auto eight = [](int64_t inputs, int64_t outputs, bool is_signed) {
    return LinearSpec{.kind = WeightKind::kChannels8,
                      .inputs = inputs,
                      .outputs = outputs,
                      .signed_weights = is_signed};
  };
  const Shape shapes[] = {
      {"4 bit, 196 x 576 x 512", four(576, 512), 196, pairs4, has_ends, ends},
      {"4 bit, 196 x 1536 x 192", four(1536, 192), 196, pairs4, has_ends, ends},
      {"int8 of 7 bits, 196 x 768 x 256", eight(768, 256, true), 196, narrow},
      {"int8 of 7 bits, 196 x 3072 x 128", eight(3072, 128, true), 196, narrow},
      {"uint8, 196 x 768 x 256", eight(768, 256, false), 196, wide},
      {"float32, 196 x 768 x 128",
       {.kind = WeightKind::kFloat32, .inputs = 768, .outputs = 128},
       196,
       floats},
      {"float16, 196 x 768 x 128",
       {.kind = WeightKind::kFloat16, .inputs = 768, .outputs = 128},
       196,
       floats},
      {"4 bit, 8 x 576 x 1536", four(576, 1536), 8, pairs4, has_ends, ends},
      {"int8 of 7 bits, 8 x 576 x 1536", eight(576, 1536, true), 8, narrow},
      {"4 bit, 1 x 576 x 262144", four(576, 262144), 1, pairs4},
      {"int8 of 7 bits, 1 x 576 x 196608", eight(576, 196608, true), 1, narrow},
      {"uint8, 1 x 576 x 196608", eight(576, 196608, false), 1, wide},
      {"float32, 1 x 576 x 65536",
       {.kind = WeightKind::kFloat32, .inputs = 576, .outputs = 65536},
       1,
       floats},
      {"float16, 1 x 576 x 98304",
       {.kind = WeightKind::kFloat16, .inputs = 576, .outputs = 98304},
       1,
       floats},
  };
  for (const Shape& shape : shapes) {
    measure(set, shape);
  }
  measure_attention(set, "attention, 196 x 196, 12 heads", 196, 196, 12, 12, false);
  measure_attention(set, "attention, causal, 196, 9 / 3 heads", 196, 196, 9, 3, true);
  measure_attention(set, "attention, 1 x 226, 9 / 3 heads", 1, 226, 9, 3, true);
}

}  // namespace

int main(int count, char** names) {
  for (size_t i = 1; i < kernel_sets().count; ++i) {
    const KernelSet& set = *kernel_sets().sets[i];
    bool wanted = count == 1;
    for (int arg = 1; arg < count; ++arg) {
      wanted = wanted || std::string(names[arg]) == set.name;
    }
    if (wanted && set.runs_here()) {
      measure_set(set);
    }
  }
  return 0;
}
