// The kernels at the shapes of SigLIP-base and SmolLM-135M, as a module for a page: kernels.mjs times them there.
#include "engine/kernels/kernels.h"

#include <cstring>
#include <vector>

namespace {

using namespace lorapress::kernels;

struct Random {
  uint32_t state = 1;
  uint32_t next() { return state = (state * 1664525U) + 1013904223U; }
  float number() { return (static_cast<float>(next() >> 8) * 0x1p-23F) - 1.0F; }
};

std::vector<float> numbers(int64_t count) {
  static Random random;
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) {
    value = random.number();
  }
  return values;
}

// Memory of the case that runs; the next one frees it.
struct State {
  std::vector<std::byte> weights;
  std::vector<std::byte> rows;
  std::vector<std::byte> scratch;
  std::vector<float> x;
  std::vector<float> k;
  std::vector<float> v;
  std::vector<float> y;
  std::vector<float> other;
  PackedLinear linear;
  LinearRun product;
  AttentionRun attention;
  NormRun norm;
};
State state;

std::byte* aligned(std::vector<std::byte>& memory, size_t bytes) {
  memory.assign(bytes + kAlignment, std::byte{});
  return memory.data() + (kAlignment - (reinterpret_cast<uintptr_t>(memory.data()) % kAlignment));
}

const KernelSet* chosen;
const KernelSet& set() {
  return chosen == nullptr ? best_kernel_set() : *chosen;
}

void pack(const LinearSpec& spec) {
  Random random;
  state.linear = start_packing(spec, aligned(state.weights, packed_bytes(spec)));
  constexpr size_t kPiece = size_t{1} << 20;
  std::vector<std::byte> bytes(kPiece);
  for (const WeightPart part : {WeightPart::kWeights, WeightPart::kScales}) {
    const size_t size = part_bytes(spec, part);
    for (size_t at = 0; at < size; at += kPiece) {
      const size_t count = size - at < kPiece ? size - at : kPiece;
      for (size_t i = 0; i < count; i += 4) {
        const float scale = random.number() / 64;
        const uint32_t integers = spec.kind == WeightKind::kBlocks4
                                      ? random.next() ^ (random.next() >> 16)
                                      : (random.next() >> 1) & 0x3F3F3F3FU;
        const bool floats = part == WeightPart::kScales || spec.kind == WeightKind::kFloat32;
        std::memcpy(bytes.data() + i, floats ? static_cast<const void*>(&scale) : &integers, 4);
      }
      pack_bytes(state.linear, part, at, bytes.data(), count);
    }
  }
  finish_packing(state.linear, set());
}

void prepare_product(const LinearSpec& spec, int64_t rows, Epilogue epilogue) {
  pack(spec);
  state.x = numbers(rows * spec.inputs);
  state.y.assign(static_cast<size_t>(rows * spec.outputs), 0.0F);
  state.other = numbers(rows * spec.outputs);
  LinearRun& run = state.product;
  run = {};
  run.linear = &state.linear;
  run.rows = rows;
  run.x = state.x.data();
  run.x_stride = spec.inputs;
  run.y = state.y.data();
  run.y_stride = spec.outputs;
  run.epilogue = epilogue;
  run.other = state.other.data();
  run.other_stride = spec.outputs;
  run.last_tile = tiles(spec);
  run.scratch = aligned(state.scratch, linear_scratch_bytes(spec));
  if (state.linear.form != RowForm::kFloats) {
    const size_t bytes = quantized_bytes(state.linear.form, rows, spec.inputs);
    run.quantized = {state.linear.form, rows, spec.inputs, aligned(state.rows, bytes)};
    set().quantize(run.x, run.x_stride, run.quantized, 0, rows);
  }
}

void prepare_attention(
    int64_t queries, int64_t keys, int64_t heads, int64_t kv_heads, bool causal) {
  constexpr int64_t kDim = 64;
  state.x = numbers(queries * heads * kDim);
  state.k = numbers(keys * kv_heads * kDim);
  state.v = numbers(keys * kv_heads * kDim);
  state.y.assign(state.x.size(), 0.0F);
  AttentionRun& run = state.attention;
  run = {};
  run.q = state.x.data();
  run.q_row = run.out_row = heads * kDim;
  run.q_head = run.out_head = kDim;
  run.k = state.k.data();
  run.v = state.v.data();
  run.kv_head = keys * kDim;
  run.out = state.y.data();
  run.heads = run.last_head = heads;
  run.kv_heads = kv_heads;
  run.head_dim = kDim;
  run.queries = queries;
  run.keys = keys;
  run.causal = causal;
  run.scale = 0.125F;
  run.scratch = aligned(state.scratch, attention_scratch_bytes(keys, kDim));
}

void prepare_norm(int64_t rows, int64_t width) {
  state.x = numbers(rows * width);
  state.k = numbers(width);
  state.y.assign(state.x.size(), 0.0F);
  state.norm = {state.x.data(),
                nullptr,
                nullptr,
                state.y.data(),
                state.k.data(),
                state.k.data(),
                rows,
                width,
                1e-5F};
}

enum class Kind : uint8_t {
  kProduct,
  kQuantize,
  kAttention,
  kLayerNorm,
  kRmsNorm,
  kSoftmax,
  kArgmax
};

struct Case {
  const char* name;
  Kind kind;
  int64_t rows;     // attention: queries
  int64_t inputs;   // attention: keys
  int64_t outputs;  // attention: heads
  WeightKind weight;
  Epilogue epilogue;
  bool causal;
};

constexpr WeightKind k4 = WeightKind::kBlocks4;
constexpr WeightKind k8 = WeightKind::kChannels8;
constexpr WeightKind kF = WeightKind::kFloat32;
constexpr Epilogue kNo = Epilogue::kNone;
// Short ones: of a piece that no other program interrupts, the least time is its own.
constexpr Case kCases[] = {
    {"4 bit 196 x 576 x 64", Kind::kProduct, 196, 576, 64, k4, kNo, false},
    {"4 bit 196 x 768 x 64, add", Kind::kProduct, 196, 768, 64, k4, Epilogue::kAdd, false},
    {"4 bit 196 x 768 x 64, GELU tanh",
     Kind::kProduct,
     196,
     768,
     64,
     k4,
     Epilogue::kGeluTanh,
     false},
    {"4 bit 196 x 768 x 64, GELU erf", Kind::kProduct, 196, 768, 64, k4, Epilogue::kGeluErf, false},
    {"4 bit 196 x 768 x 64, SiLU", Kind::kProduct, 196, 768, 64, k4, Epilogue::kSilu, false},
    {"4 bit 196 x 3072 x 32, add", Kind::kProduct, 196, 3072, 32, k4, Epilogue::kAdd, false},
    {"8 bit 196 x 768 x 64", Kind::kProduct, 196, 768, 64, k8, kNo, false},
    {"float32 196 x 768 x 64", Kind::kProduct, 196, 768, 64, kF, kNo, false},
    {"float32 196 x 192 x 64", Kind::kProduct, 196, 192, 64, kF, kNo, false},
    {"quantize 196 x 768, blocks", Kind::kQuantize, 196, 768, 16, k4, kNo, false},
    {"quantize 196 x 768, rows", Kind::kQuantize, 196, 768, 16, k8, kNo, false},
    {"layer norm 196 x 768", Kind::kLayerNorm, 196, 768, 0, kF, kNo, false},
    {"RMS norm 196 x 576", Kind::kRmsNorm, 196, 576, 0, kF, kNo, false},
    {"attention 196 x 196, 1 head", Kind::kAttention, 196, 196, 1, kF, kNo, false},
    {"attention 196 x 196 causal, 3 heads", Kind::kAttention, 196, 196, 3, kF, kNo, true},
    {"attention 1 x 226, 9 heads", Kind::kAttention, 1, 226, 9, kF, kNo, true},
    {"4 bit 1 x 576 x 1536", Kind::kProduct, 1, 576, 1536, k4, kNo, false},
    {"4 bit 1 x 576 x 49152", Kind::kProduct, 1, 576, 49152, k4, kNo, false},
    {"8 bit 1 x 576 x 49152", Kind::kProduct, 1, 576, 49152, k8, kNo, false},
    {"softmax 196 x 196", Kind::kSoftmax, 196, 196, 0, kF, kNo, false},
    {"argmax 49152", Kind::kArgmax, 1, 49152, 0, kF, kNo, false},
};
const Case* current;

}  // namespace

extern "C" {

// Of the sets that run here, or null; the fastest is used unless another is chosen.
__attribute__((export_name("set_name"))) const char* set_name(unsigned index) {
  const KernelSets all = kernel_sets();
  for (size_t i = 0; i < all.count; ++i) {
    if (all.sets[i]->runs_here() && index-- == 0) {
      return all.sets[i]->name;
    }
  }
  return nullptr;
}
__attribute__((export_name("choose"))) void choose(unsigned index) {
  chosen = find_kernel_set(set_name(index));
}
__attribute__((export_name("case_name"))) const char* case_name(unsigned index) {
  return index < std::size(kCases) ? kCases[index].name : nullptr;
}
// Multiply-adds of products with many rows and of attention; bytes that are read in others.
__attribute__((export_name("case_work"))) double case_work(unsigned index) {
  const Case& one = kCases[index];
  const double all = static_cast<double>(one.rows) * static_cast<double>(one.inputs);
  switch (one.kind) {
    case Kind::kProduct:
      return one.rows > 1
                 ? all * static_cast<double>(one.outputs)
                 : static_cast<double>(packed_bytes(
                       {.kind = one.weight, .inputs = one.inputs, .outputs = one.outputs}));
    case Kind::kAttention:
      return all * static_cast<double>(one.outputs) * 128 *
             (one.causal && one.rows > 1 ? 0.5 : 1.0);
    default:
      return all * 4;
  }
}
__attribute__((export_name("prepare"))) void prepare(unsigned index) {
  const Case& one = kCases[index];
  current = &one;
  state = {};
  const LinearSpec spec{.kind = one.weight,
                        .inputs = one.inputs,
                        .outputs = one.outputs,
                        .signed_weights = one.weight == k8};
  switch (one.kind) {
    case Kind::kProduct:
    case Kind::kQuantize:
      return prepare_product(spec, one.rows, one.epilogue);
    case Kind::kAttention:
      return prepare_attention(one.rows,
                               one.inputs,
                               one.outputs,
                               one.causal ? one.outputs / 3 : one.outputs,
                               one.causal);
    case Kind::kLayerNorm:
    case Kind::kRmsNorm:
    case Kind::kSoftmax:
      return prepare_norm(one.rows, one.inputs);
    case Kind::kArgmax:
      state.x = numbers(one.inputs);
  }
}
__attribute__((export_name("run"))) int64_t run(unsigned times) {
  int64_t found = 0;
  for (unsigned i = 0; i < times; ++i) {
    switch (current->kind) {
      case Kind::kProduct:
        set().run_linear(state.product);
        break;
      case Kind::kQuantize:
        set().quantize(
            state.product.x, state.product.x_stride, state.product.quantized, 0, current->rows);
        break;
      case Kind::kAttention:
        set().attention(state.attention);
        break;
      case Kind::kLayerNorm:
        set().layer_norm(state.norm);
        break;
      case Kind::kRmsNorm:
        set().rms_norm(state.norm);
        break;
      case Kind::kSoftmax:
        set().softmax(state.x.data(), state.y.data(), current->rows, current->inputs);
        break;
      case Kind::kArgmax:
        found += set().argmax(state.x.data(), static_cast<int64_t>(state.x.size()));
        break;
    }
  }
  return found;
}
}
