// Compares every kernel of every set with the scalar set, bit by bit, on random and extreme numbers. A program of
// unit tests runs these natively, a page in a browser as WebAssembly; so they use no test library.
#ifndef LORAPRESS_ENGINE_KERNELS_KERNEL_SETS_TEST_UTIL_H_
#define LORAPRESS_ENGINE_KERNELS_KERNEL_SETS_TEST_UTIL_H_

#include <algorithm>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "engine/kernels/kernels_test_util.h"

namespace lorapress::kernels::test {
inline constexpr float kInfinity = std::numeric_limits<float>::infinity();

inline const KernelSet& scalar() {
  return *kernel_sets().sets[0];
}

inline std::string differs(const KernelSet& set,
                           const std::string& what,
                           const std::vector<float>& found,
                           const std::vector<float>& wanted) {
  const int64_t at = first_difference(found, wanted);
  if (at < 0) {
    return "";
  }
  if (found.size() != wanted.size()) {
    return std::string(set.name) + ": " + what + ": memory behind its end was written";
  }
  return std::string(set.name) + ": " + what + ": element " + std::to_string(at) + " is " +
         std::to_string(found[static_cast<size_t>(at)]) + ", expected " +
         std::to_string(wanted[static_cast<size_t>(at)]);
}

inline constexpr Epilogue kEpilogues[] = {Epilogue::kNone,
                                          Epilogue::kAdd,
                                          Epilogue::kSiluGate,
                                          Epilogue::kMultiply,
                                          Epilogue::kGeluErf,
                                          Epilogue::kGeluTanh,
                                          Epilogue::kQuickGelu,
                                          Epilogue::kSilu,
                                          Epilogue::kRelu};

struct Size {
  int64_t rows;
  int64_t inputs;
  int64_t outputs;
};
inline constexpr Size kSizes[] = {{0, 64, 32},
                                  {20, 64, 32},
                                  {1, 100, 129},
                                  {3, 33, 50},
                                  {4, 96, 16},
                                  {5, 1, 1},
                                  {9, 576, 49},
                                  {1, 576, 150},
                                  {197, 160, 49}};

inline std::string check_product(Case each, const Size& size, uint32_t seed) {
  const std::string what = each.name + ", " + std::to_string(size.rows) + " x " +
                           std::to_string(size.inputs) + " x " + std::to_string(size.outputs);
  each.spec.inputs = size.inputs;
  each.spec.outputs = size.outputs;
  Numbers numbers(seed);
  const SourceWeight weight = make_weight(each.spec, each.extent, numbers);
  std::vector<float> x = numbers.normals(size.rows * size.inputs);
  if (each.extent == Extent::kLargest) {  // all of one sign and of one size: the largest sums
    std::fill(x.begin(), x.end(), seed % 2 == 0 ? 1.0F : -1.0F);
  }
  const Product how{kEpilogues[seed % std::size(kEpilogues)], seed % 3 != 0, 1 + (seed % 3)};
  const std::vector<float> wanted = multiply(scalar(), weight, x, size.rows, how, seed);
  for (const KernelSet* set : other_sets()) {
    std::string found =
        differs(*set, what, multiply(*set, weight, x, size.rows, how, seed), wanted);
    if (!found.empty()) {
      return found;
    }
  }
  return "";
}

struct AttentionSize {
  int64_t heads;
  int64_t kv_heads;
  int64_t head_dim;
  int64_t queries;
  int64_t keys;
  int64_t window;
  bool causal;
};
inline constexpr AttentionSize kAttention[] = {{9, 3, 64, 1, 77, 0, true},
                                               {9, 3, 64, 33, 33, 0, true},
                                               {4, 4, 64, 50, 50, 0, false},
                                               {2, 1, 72, 3, 19, 0, true},
                                               {6, 2, 20, 7, 40, 0, true},
                                               {2, 2, 5, 4, 9, 0, false},
                                               {4, 1, 32, 17, 60, 12, true},
                                               {3, 3, 16, 1, 1, 0, true},
                                               {2, 1, 128, 2, 150, 0, true}};

inline std::vector<float> attend(const KernelSet& set, const AttentionSize& size, uint32_t seed) {
  Numbers numbers(seed);
  const int64_t positions = size.keys + 5;
  const std::vector<float> q = numbers.normals(size.queries * size.heads * size.head_dim);
  const std::vector<float> k = numbers.normals(size.kv_heads * positions * size.head_dim);
  const std::vector<float> v = numbers.normals(size.kv_heads * positions * size.head_dim);
  std::vector<float> mask = numbers.normals(size.queries * size.keys);
  for (size_t i = 0; i < mask.size(); i += 3) {
    mask[i] = i % 2 == 0 ? -kInfinity : std::numeric_limits<float>::lowest();
  }
  std::vector<float> out(q.size(), 7.0F);
  Aligned scratch(attention_scratch_bytes(size.keys, size.head_dim));
  AttentionRun run;
  run.q = q.data();
  run.q_head = size.head_dim;
  run.q_row = size.heads * size.head_dim;
  run.k = k.data();
  run.v = v.data();
  run.kv_head = positions * size.head_dim;
  run.out = out.data();
  run.out_head = run.q_head;
  run.out_row = run.q_row;
  run.mask = seed % 2 == 0 ? mask.data() : nullptr;
  run.mask_row = size.keys;
  run.heads = size.heads;
  run.kv_heads = size.kv_heads;
  run.head_dim = size.head_dim;
  run.queries = size.queries;
  run.keys = size.keys;
  run.first_key = seed % 3 == 0 ? size.keys / 3 : 0;  // behind some queries: those see nothing
  run.window = size.window;
  run.causal = size.causal;
  run.scale = 0.125F;
  run.scratch = scratch.data();
  const int64_t cut = size.heads / 2;  // within a group
  run.last_head = cut;
  set.attention(run);
  run.first_head = cut;
  run.last_head = size.heads;
  set.attention(run);
  // Two rows that share the first keys have the same bits.
  run.shared = size.keys / 2 / kTile * kTile;
  run.tail_head = (positions - run.shared) * size.head_dim;
  std::vector<float> tails[2];
  for (int64_t g = 0; g < size.kv_heads; ++g) {
    for (int part = 0; part < 2; ++part) {
      const auto begin = (part == 0 ? k : v).begin() + (g * run.kv_head);
      tails[part].insert(
          tails[part].end(), begin + (run.shared * size.head_dim), begin + run.kv_head);
    }
  }
  const float* const keys[] = {tails[0].data(), tails[0].data()};
  const float* const values[] = {tails[1].data(), tails[1].data()};
  std::vector<float> twice = q;
  twice.insert(twice.end(), q.begin(), q.end());
  std::vector<float> both(twice.size(), 7.0F);
  run.q = twice.data();
  run.out = both.data();
  run.tails_k = keys;
  run.tails_v = values;
  run.batch = 2;
  run.batch_row = static_cast<int64_t>(q.size());
  run.first_head = 0;
  set.attention(run);
  const auto is_both = [&] {
    const auto half = both.begin() + run.batch_row;
    return std::memcmp(out.data(), both.data(), out.size() * sizeof(float)) == 0 &&
           std::memcmp(out.data(), &*half, out.size() * sizeof(float)) == 0;
  };
  const bool equal = is_both();
  // So have they where the cache keeps the shared keys in tiles.
  std::vector<float> tiled = k;
  for (int64_t g = 0; g < size.kv_heads; ++g) {
    for (int64_t j = 0; j < run.shared; j += kTile) {
      const int64_t at = (g * run.kv_head) + (j * size.head_dim);
      tile_keys(k.data() + at, size.head_dim, tiled.data() + at);
    }
  }
  run.k = tiled.data();
  run.tiled = true;
  std::ranges::fill(both, 7.0F);
  set.attention(run);
  return scratch.intact() && equal && is_both() ? out : std::vector<float>{};
}

inline std::vector<float> normalize(const KernelSet& set, int64_t width, int form) {
  constexpr int64_t kRows = 3;
  Numbers numbers(static_cast<uint32_t>(width));
  const std::vector<float> x = numbers.normals(kRows * width);
  const std::vector<float> residual = numbers.normals(kRows * width);
  const std::vector<float> gamma = numbers.normals(width);
  const std::vector<float> beta = numbers.normals(width);
  std::vector<float> out(static_cast<size_t>(2 * kRows * width), 7.0F);
  NormRun run{x.data(), nullptr, nullptr, out.data(), gamma.data(), nullptr, kRows, width, 1e-5F};
  if (form % 2 == 1) {
    run.residual = residual.data();
    run.sum = form == 1 ? nullptr : out.data() + (kRows * width);
    run.beta = beta.data();
  }
  form < 2 ? set.layer_norm(run) : set.rms_norm(run);
  return out;
}

// Activations, softmax, rotary and argmax of one set, one after another.
inline std::vector<float> functions(const KernelSet& set, int64_t count) {
  Numbers numbers(7);
  std::vector<float> x = numbers.normals(count, 5.0F);
  const float special[] = {0.0F,
                           -0.0F,
                           kInfinity,
                           -kInfinity,
                           std::nanf(""),
                           1e38F,
                           -1e38F,
                           1e-40F,
                           88.8F,
                           -87.4F,
                           128.0F,
                           10.0F,
                           0.625F,
                           0.9277344F};
  for (size_t i = 0; i < x.size(); i += 3) {
    x[i] = special[i / 3 % std::size(special)];
  }
  std::vector<float> out;
  std::vector<float> y(x.size());
  for (int i = 0; i <= static_cast<int>(Activation::kSigmoid); ++i) {
    set.activate(static_cast<Activation>(i), x.data(), y.data(), count);
    out.insert(out.end(), y.begin(), y.end());
  }
  x = numbers.normals(3 * count, 20.0F);
  x[0] = -kInfinity;
  set.softmax(x.data(), x.data(), 3, count);
  out.insert(out.end(), x.begin(), x.end());
  out.push_back(static_cast<float>(set.argmax(x.data(), 3 * count)));
  for (const bool interleaved : {false, true}) {
    const std::vector<float> cos = numbers.normals(4 * count);
    const std::vector<float> sin = numbers.normals(4 * count);
    x = numbers.normals(2 * 3 * 2 * count);
    const RotaryRun run{x.data(),
                        3 * 2 * count,
                        2 * count,
                        cos.data(),
                        sin.data(),
                        count,
                        2,
                        3,
                        count - 2,
                        interleaved};
    set.rotate(run);
    out.insert(out.end(), x.begin(), x.end());
  }
  return out;
}

inline std::string check_products() {
  uint32_t seed = 0;
  for (const Case& each : all_weights()) {
    for (const Size& size : kSizes) {
      const std::string found = check_product(each, size, ++seed);
      if (!found.empty()) {
        return found;
      }
    }
  }
  return "";
}

inline std::string check_rows_that_are_not_finite() {
  Numbers numbers(5);
  for (Case each : all_weights()) {
    each.spec.inputs = 64;
    each.spec.outputs = 16;
    const SourceWeight weight = make_weight(each.spec, each.extent, numbers);
    std::vector<float> x = numbers.normals(5 * 64);
    x[10] = std::nanf("");
    x[64 + 40] = kInfinity;
    std::fill_n(x.begin() + 128, 64, 1e-38F);
    for (size_t i = 0; i < kernel_sets().count; ++i) {
      const KernelSet& set = *kernel_sets().sets[i];
      if (!set.runs_here()) {
        continue;
      }
      const std::vector<float> y = multiply(set, weight, x, 5, {}, 1);
      for (size_t n = 0; n < 16; ++n) {
        if (std::isfinite(y.at(n)) || std::isfinite(y.at(19 + n)) ||
            std::fabs(y.at(38 + n)) > 1e-30F) {
          return std::string(set.name) + ": " + each.name;
        }
      }
    }
  }
  return "";
}

inline std::string check_gather() {
  Numbers numbers(6);
  for (Case each : all_weights()) {
    each.spec.inputs = 77;
    each.spec.outputs = 40;
    const SourceWeight weight = make_weight(each.spec, each.extent, numbers);
    const std::vector<int64_t> ids = {39, 0, 12, 17, 12};
    const auto gathered = [&](const KernelSet& set) {
      Aligned packed(packed_bytes(each.spec));
      const PackedLinear table = pack(weight, set, packed.data(), numbers);
      std::vector<float> y(ids.size() * 80, 7.0F);
      set.gather(table, ids.data(), 5, y.data(), 80);
      return y;
    };
    const std::vector<float> wanted = gathered(scalar());
    for (const KernelSet* set : other_sets()) {
      std::string found = differs(*set, each.name, gathered(*set), wanted);
      if (!found.empty()) {
        return found;
      }
    }
  }
  return "";
}

inline std::string check_attention() {
  uint32_t seed = 0;
  for (const AttentionSize& size : kAttention) {
    for (int form = 0; form < 6; ++form) {
      ++seed;
      const std::vector<float> wanted = attend(scalar(), size, seed);
      for (const KernelSet* set : other_sets()) {
        std::string found =
            differs(*set, "attention " + std::to_string(seed), attend(*set, size, seed), wanted);
        if (!found.empty() || wanted.empty()) {
          return found + "!";
        }
      }
    }
  }
  return "";
}

inline std::string check_norms() {
  for (const int64_t width : {1, 7, 8, 64, 100, 576}) {
    for (int form = 0; form < 4; ++form) {
      for (const KernelSet* set : other_sets()) {
        std::string found = differs(*set,
                                    "norm of " + std::to_string(width),
                                    normalize(*set, width, form),
                                    normalize(scalar(), width, form));
        if (!found.empty()) {
          return found;
        }
      }
    }
  }
  return "";
}

inline std::string check_functions() {
  for (const int64_t count : {3, 8, 50, 1000}) {
    for (const KernelSet* set : other_sets()) {
      std::string found = differs(*set,
                                  "functions of " + std::to_string(count),
                                  functions(*set, count),
                                  functions(scalar(), count));
      if (!found.empty()) {
        return found;
      }
    }
  }
  return "";
}

struct Check {
  const char* name;
  std::string (*run)();  // "" or what differs first
};

inline constexpr Check kChecks[] = {
    {"products", check_products},
    {"rows that are not finite", check_rows_that_are_not_finite},
    {"gather", check_gather},
    {"attention", check_attention},
    {"norms", check_norms},
    {"functions", check_functions},
};

}  // namespace lorapress::kernels::test

#endif  // LORAPRESS_ENGINE_KERNELS_KERNEL_SETS_TEST_UTIL_H_
