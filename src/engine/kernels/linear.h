// Products with constant matrices: y = x W^T. A weight is packed once from the bytes of its ONNX
// initializers into tiles of 16 outputs, the same for every instruction set (drawn in
// docs/kernels.md).
#ifndef LORAPRESS_ENGINE_KERNELS_LINEAR_H_
#define LORAPRESS_ENGINE_KERNELS_LINEAR_H_

#include <cstddef>
#include <cstdint>

namespace lorapress::kernels {

inline constexpr int64_t kTile = 16;      // outputs of a tile
inline constexpr int64_t kBlock = 32;     // inputs that share a scale of activations
inline constexpr size_t kAlignment = 64;  // of packed weights, of quantized rows and of scratch
inline constexpr int64_t kMostInputs8 = 65536;  // of kChannels8: sums fit 32 bits

enum class WeightKind : uint8_t {
  kBlocks4,    // MatMulNBits with bits = 4: (q - zero) * scale, a scale for each block of inputs
  kChannels8,  // B of MatMulInteger, with a scale for each output or one for all
  kFloat32,    // MatMul, Gemm
  kFloat16,
};

enum class WeightOrder : uint8_t {
  kOutputsFirst,  // [outputs, inputs]: Gemm with transB, lookup tables
  kInputsFirst,   // [inputs, outputs]: MatMul, MatMulInteger
};

// What the graph says of a weight.
//   kBlocks4: weights uint8 [outputs, blocks, block_size / 2], first input in the low half, blocks =
//     ceil(inputs / block_size); scales [outputs * blocks]; zero points uint8 [outputs,
//     ceil(blocks / 2)], first in the low half, or none, which means 8. `order` is not used.
//   kChannels8: weights uint8 or int8; scales float32, [outputs] or [1]; zero points of the weights'
//     type, [outputs] or [1], or none, which means 0.
struct LinearSpec {
  WeightKind kind = WeightKind::kFloat32;
  WeightOrder order = WeightOrder::kInputsFirst;
  int64_t inputs = 0;
  int64_t outputs = 0;
  int64_t block_size = 32;      // kBlocks4: a power of two, 16 to 256
  bool signed_weights = false;  // kChannels8: int8
  bool one_scale = false;       // kChannels8: [1] for all outputs
  bool zero_points = false;     // there is such a tensor
  bool one_zero_point = false;  // kChannels8: [1] for all outputs
  bool half_scales = false;     // kBlocks4: scales are float16
  bool operator==(const LinearSpec&) const = default;
};

// Which form of activations a packed weight is multiplied with. The engine asks for it after
// finish_packing, makes that form once for all weights that read the same rows, and hands it to
// run_linear.
enum class RowForm : uint8_t {
  kFloats,    // rows as they are
  kBlocks8,   // int8, a scale for each block of 32 inputs: kBlocks4
  kBlocks16,  // the same integers in 16 bits, for sets without products of 8 bits
  kRows8,     // int8, a scale for each row: kChannels8
  kRows16,    // the same integers in 16 bits: also where products of 8 bits would saturate
};

// A packed weight: a view, whose memory the engine owns. Blocks of 16 inputs are packed as float32.
struct PackedLinear {
  LinearSpec spec;
  std::byte* data = nullptr;  // packed_bytes(spec), aligned to kAlignment
  RowForm form = RowForm::kFloats;
};

struct KernelSet;

// Whether weights of this spec can be packed: positive sizes whose bytes fit 48 bits, a block size
// of the list, at most kMostInputs8 inputs of kChannels8.
bool can_pack(const LinearSpec& spec);
// REQUIRES for all of the following: can_pack(spec).
size_t packed_bytes(const LinearSpec& spec);
int64_t tiles(const LinearSpec& spec);

// The tensors of a weight, and how many bytes each has in the file.
enum class WeightPart : uint8_t { kWeights, kScales, kZeroPoints };
size_t part_bytes(const LinearSpec& spec, WeightPart part);

// Packing is: start_packing, pack_bytes until every byte of every part was given once, in any order
// of parts and pieces, finish_packing. Nothing else is kept of the source.
// start_packing clears what pieces do not write; `data` must be aligned to kAlignment and hold packed_bytes(spec).
// Several threads may pack pieces of a weight at the same time.
PackedLinear start_packing(const LinearSpec& spec, std::byte* data);
// `offset` is the place of `bytes` in the part. REQUIRES: offset is a multiple of 4, size too
// unless the part ends there; offset + size <= part_bytes.
void pack_bytes(const PackedLinear& linear,
                WeightPart part,
                size_t offset,
                const std::byte* bytes,
                size_t size);
// Pieces of a multiple of so many bytes, which begin at a multiple, are packed fastest. A multiple of 4.
size_t packing_step(const LinearSpec& spec, WeightPart part);
// Chooses the form in which `set` multiplies the weight; results do not depend on it.
void finish_packing(PackedLinear& linear, const KernelSet& set);

// ---- activations -------------------------------------------------------------------------------

// Rows [rows, inputs] in int8, as run_linear reads them:
//   kBlocks8, kBlocks16: for each block of 32 inputs, m = max|x|: q = round_half_even(x * (127 / m)),
//     x ~ q * (m / 127)
//   kRows8, kRows16: the same with m of the whole row.
// Where m is below 2^-100, all q and the scale are 0; where it is infinite or NaN, the scale is NaN,
// so that outputs are. Memory: quantized_bytes, aligned to kAlignment, given by the engine.
struct QuantizedRows {
  RowForm form = RowForm::kBlocks8;
  int64_t rows = 0;
  int64_t inputs = 0;
  std::byte* data = nullptr;
};
size_t quantized_bytes(RowForm form, int64_t rows, int64_t inputs);

// ---- the product -------------------------------------------------------------------------------

// What happens to y = x W^T + bias before it is stored. Formulas: math.h.
enum class Epilogue : uint8_t {
  kNone,
  kAdd,       // y + other
  kSiluGate,  // silu(other) * y: `other` is the gate's product, y that of "up"
  kMultiply,  // other * y
  kGeluErf,
  kGeluTanh,
  kQuickGelu,
  kSilu,
  kRelu,
};

// One product, or the part of it that one thread computes.
//   kBlocks4:   y[n] = sum over blocks b in order of (float(sum over the block of (w - zero) q) * row_scale[b]) * scale[n, b]
//   kChannels8: y[n] = float(sum of (w - zero) q) * (row_scale * scale[n])
//   floats:     y[n] = sum over inputs in order of x[k] * w[n, k], each product and each sum rounded to float32
// then + bias[n], then the epilogue. These are the same bits in every kernel set.
struct LinearRun {
  const PackedLinear* linear = nullptr;
  int64_t rows = 0;
  const float* x = nullptr;  // kFloats: [rows, x_stride]
  int64_t x_stride = 0;
  QuantizedRows quantized;      // other forms: of linear->form, made from at least `rows` rows
  float* y = nullptr;           // [rows, y_stride]; no other memory of the run may overlap it,
  int64_t y_stride = 0;         // except that `other` may be y
  const float* bias = nullptr;  // [outputs] or null
  Epilogue epilogue = Epilogue::kNone;
  const float* other = nullptr;  // [rows, other_stride]
  int64_t other_stride = 0;
  int64_t first_tile = 0;  // tiles first <= t < last are computed: outputs 16 t to 16 t + 15
  int64_t last_tile = 0;
  std::byte* scratch = nullptr;  // linear_scratch_bytes, aligned, for this thread alone
};
size_t linear_scratch_bytes(const LinearSpec& spec);

}  // namespace lorapress::kernels

#endif  // LORAPRESS_ENGINE_KERNELS_LINEAR_H_
