// Processors with AMX (Intel Xeon since 2023): products of integers of 16 and more rows in tiles of 16 rows and 64 bytes, all else in
// vectors of 512 bits. Products are exact integers, then the sums of vec_blocks4.h and vec_channels8.h follow, so the bits are the same.
//
// Rows of integers lie one after another, not in groups of 4, so that 64 bytes of 16 rows are a tile; packed weights are tiles as they
// are: [inputs / 4][16 outputs][4 inputs].
#include "engine/kernels/sets.h"

#if defined(__AMX_INT8__) && defined(__AVX512VNNI__) && defined(__linux__)
#define LORAPRESS_VECTORS512
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/kernels/vec_blocks4.h"
#include "engine/kernels/vec_quantize.h"

namespace lorapress::kernels {
namespace {

constexpr int64_t kTileRows = 16;    // also the fewest rows that are multiplied so
constexpr int64_t kTileInputs = 64;  // of 8-bit products; of 4-bit ones a block
constexpr int64_t kWeightTile = kTileInputs * kTile;

// Linux lends the registers to a process that asks; the processor says whether there are any.
bool runs_here() {
  unsigned a = 7;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  constexpr unsigned kAmxTile = 1U << 24U;
  constexpr unsigned kAmxInt8 = 1U << 25U;
  if (__builtin_cpu_supports("avx512vnni") == 0 || (d & kAmxTile) == 0 || (d & kAmxInt8) == 0) {
    return false;
  }
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;               // XFEATURE_XTILEDATA
  static const bool kLent = syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  return kLent;
}

// Tile registers while it lives: 0 to 3 are sums, 4 and 5 rows, 6 and 7 weights.
class Tiles {
 public:
  explicit Tiles(int64_t inputs) {
    alignas(64) struct {
      uint8_t palette = 1;
      uint8_t start = 0;
      uint8_t reserved[14] = {};
      uint16_t bytes[16] = {};
      uint8_t rows[16] = {};
    } config;
    for (int i = 0; i < 8; ++i) {
      config.bytes[i] = static_cast<uint16_t>(i == 4 || i == 5 ? inputs : 64);
      config.rows[i] = static_cast<uint8_t>(i >= 6 ? inputs / 4 : kTileRows);
    }
    asm volatile("" : : "m"(config));
    _tile_loadconfig(&config);
  }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;
  ~Tiles() { _tile_release(); }
};

// Tiles are read by instructions of which compilers do not know that they read memory.
void written() {
  asm volatile("" : : : "memory");
}

// ---- 8 bit ---------------------------------------------------------------------------------------

struct Operands8 {
  const std::byte* rows[2];     // 16 rows each
  const std::byte* weights[2];  // packed tiles
  // Of each the last 32 inputs, and zeros, where 64 do not divide the inputs.
  const std::byte* const* rest;
  int64_t padded;
};

// Integer sums [Rows][Weights][16][16] of Rows times 16 rows and Weights tiles.
template <int Rows, int Weights>
void sum8(const Operands8& of, int32_t* sums) {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int64_t k = 0; k < of.padded; k += kTileInputs) {
    const bool whole = k + kTileInputs <= of.padded;
    _tile_loadd(4, of.rows[0] + k, of.padded);
    if constexpr (Rows > 1) {
      _tile_loadd(5, of.rows[1] + k, of.padded);
    }
    _tile_loadd(6, whole ? of.weights[0] + (k * kTile) : of.rest[0], 64);
    _tile_dpbsud(0, 4, 6);
    if constexpr (Rows > 1) {
      _tile_dpbsud(2, 5, 6);
    }
    if constexpr (Weights > 1) {
      _tile_loadd(7, whole ? of.weights[1] + (k * kTile) : of.rest[1], 64);
      _tile_dpbsud(1, 4, 7);
    }
    if constexpr (Rows > 1 && Weights > 1) {
      _tile_dpbsud(3, 5, 7);
    }
  }
  constexpr int64_t kSums = kTileRows * kTile;
  _tile_stored(0, sums, 64);
  if constexpr (Weights > 1) {
    _tile_stored(1, sums + kSums, 64);
  }
  if constexpr (Rows > 1) {
    _tile_stored(2, sums + (Weights * kSums), 64);
  }
  if constexpr (Rows > 1 && Weights > 1) {
    _tile_stored(3, sums + (3 * kSums), 64);
  }
}

// Scales 16 sums of `count` rows from `row` on, in place, and stores them as outputs of `tile`.
void finish8(const LinearRun& run,
             const RowsView& view,
             int64_t tile,
             int64_t row,
             int64_t count,
             int32_t* sums) {
  const std::byte* channels =
      tile_at(*run.linear, tile) + (padded_inputs(run.linear->spec.inputs) * kTile);
  const auto scale = load<Floats>(channels);
  const Ints zeros = load<Ints>(channels + kTileFloats);
  for (int64_t r = 0; r < count; ++r) {
    const Ints whole = load<Ints>(sums + (r * kTile)) - (zeros * broadcast_int(view.sums[row + r]));
    store(sums + (r * kTile), to_floats(whole) * (broadcast(view.scales[row + r]) * scale));
  }
  store_tile(run, row, count, tile * kTile, reinterpret_cast<const float*>(sums));
}

// Operands8::rest of tile `tile`, put to `to`.
const std::byte* rest8(const LinearRun& run, int64_t tile, int64_t padded, std::byte* to) {
  const std::byte* last = tile_at(*run.linear, tile) + ((padded - kBlock) * kTile);
  __builtin_memcpy(to, last, kBlock * kTile);
  __builtin_memset(to + (kBlock * kTile), 0, kBlock * kTile);
  return to;
}

// 16 or 32 rows from `row` on times Weights tiles. The last rows are taken with those before them, so that no tile reads behind.
template <int Weights>
void multiply8(const LinearRun& run,
               const RowsView& view,
               int64_t row,
               int64_t tile,
               const std::byte* const* rest) {
  Operands8 of{{}, {}, rest, padded_inputs(run.linear->spec.inputs)};
  alignas(64) int32_t sums[4 * kTileRows * kTile];
  const int64_t last = run.quantized.rows - kTileRows;
  const int count = row + kTileRows < run.rows ? 2 : 1;
  for (int w = 0; w < Weights; ++w) {
    of.weights[w] = tile_at(*run.linear, tile + w);
  }
  for (int i = 0; i < count; ++i) {
    of.rows[i] = view.values + (least(row + (i * kTileRows), last) * view.values_row);
  }
  count == 2 ? sum8<2, Weights>(of, sums) : sum8<1, Weights>(of, sums);
  for (int i = 0; i < count; ++i) {
    const int64_t at = row + (i * kTileRows);
    const int64_t again = at - least(at, last);  // rows of the tile that were there before
    for (int w = 0; w < Weights; ++w) {
      finish8(run,
              view,
              tile + w,
              at,
              least(kTileRows - again, run.rows - at),
              sums + (((((i * Weights) + w) * kTileRows) + again) * kTile));
    }
  }
}

// Tiles inside of rows: what is written of a row lies together.
void multiply_channels8(const LinearRun& run, const RowsView& view) {
  const Tiles tiles(kTileInputs);
  const std::byte* rest[2] = {};
  const int64_t padded = padded_inputs(run.linear->spec.inputs);
  const bool whole = padded % kTileInputs == 0;
  const int64_t step = whole ? most<int64_t>(2, kCachedWeights / (padded * kTile) / 2 * 2) : 2;
  for (int64_t first = run.first_tile; first < run.last_tile; first += step) {
    const int64_t last = least(first + step, run.last_tile);
    for (int64_t tile = first; !whole && tile < last; ++tile) {
      rest[tile - first] = rest8(run, tile, padded, run.scratch + ((tile - first) * kWeightTile));
    }
    written();
    for (int64_t row = 0; row < run.rows; row += 2 * kTileRows) {
      for (int64_t tile = first; tile < last; tile += 2) {
        tile + 1 < last ? multiply8<2>(run, view, row, tile, rest)
                        : multiply8<1>(run, view, row, tile, rest);
      }
    }
  }
}

// ---- 4 bit ---------------------------------------------------------------------------------------

// A block's weights less their zero points as bytes with sign: [8 groups of 4 inputs][16 outputs][4].
void unpack_signed4(const std::byte* block, bool zero_points, std::byte* to) {
  using Bytes = int8_t __attribute__((vector_size(kVectorBytes)));
  Ints zeros = broadcast_int(0x08080808);
  if (zero_points) {
    const Ints pairs = load<Ints>(block + kNibbleBytes + kTileFloats);
    zeros = pairs | (pairs << 8);
  }
  for (int64_t p = 0; p < 4; ++p) {
    Ints low;
    Ints high;
    split_nibbles(load<Ints>(block + (p * kTileFloats)), &low, &high);
    const auto less = reinterpret_cast<Bytes>(zeros);
    store(to + (2 * p * kTileFloats), reinterpret_cast<Bytes>(low) - less);
    store(to + (((2 * p) + 1) * kTileFloats), reinterpret_cast<Bytes>(high) - less);
  }
}

// 16 rows: their integers, and their scales of the first block, where row r's is at r * row_step and the next block's
// block_step further.
struct Rows4 {
  const std::byte* values;
  int64_t values_row;
  const float* scales;
  int64_t row_step;
  int64_t block_step;
};

// Integer sums [16][16] of a block.
LORAPRESS_STEP void sum4(const Rows4& rows,
                         const std::byte* unpacked,
                         int64_t block,
                         int32_t* sums) {
  unpacked += block * kBlock * kTile;
  const std::byte* values = rows.values + (block * kBlock);
  _tile_loadd(4, values, rows.values_row);
  _tile_loadd(6, unpacked, 64);
  _tile_zero(0);
  _tile_dpbssd(0, 4, 6);
  _tile_stored(0, sums, 64);
}

// sums[r] += (integer sums * the row's scale) * the block's scales, for Count rows, 16 or fewer than that (0).
template <int Count>
LORAPRESS_STEP void add_block4(const Rows4& rows,
                               int64_t block,
                               Floats scale,
                               const int32_t* integers,
                               int64_t count,
                               Floats* total) {
  const float* scales = rows.scales + (block * rows.block_step);
  asm("" : "+r"(integers), "+r"(scales));
  if constexpr (Count > 0) {
    LORAPRESS_UNROLLED
    for (int r = 0; r < Count; ++r) {
      const Floats sum = to_floats(load<Ints>(integers + (r * kTile)));
      total[r] = total[r] + (sum * broadcast(scales[r])) * scale;
    }
  } else {
    for (int64_t r = 0; r < count; ++r) {
      const Floats sum = to_floats(load<Ints>(integers + (r * kTile)));
      total[r] = total[r] + (sum * broadcast(scales[r * rows.row_step])) * scale;
    }
  }
}

constexpr int64_t kAhead = 3;  // blocks whose integers are on their way

// A tile times 16 rows; of those the last `count` are added up: sums [count][16].
template <int Count>
void multiply_rows4(const Rows4& rows,
                    const std::byte* packed,
                    int64_t block_step,
                    const std::byte* unpacked,
                    int64_t blocks,
                    int64_t count,
                    float* sums) {
  alignas(64) int32_t integers[kAhead + 1][kTileRows * kTile];
  Floats total[kTileRows] = {};
  const int64_t before = (kTileRows - count) * kTile;
  for (int64_t b = 0; b < least(kAhead, blocks); ++b) {
    sum4(rows, unpacked, b, integers[b]);
  }
  for (int64_t b = 0; b < blocks; ++b) {
    if (b + kAhead < blocks) {
      sum4(rows, unpacked, b + kAhead, integers[(b + kAhead) % (kAhead + 1)]);
    }
    const auto scale = load<Floats>(packed + (b * block_step) + kNibbleBytes);
    add_block4<Count>(rows, b, scale, integers[b % (kAhead + 1)] + before, count, total);
  }
  LORAPRESS_UNROLLED
  for (int64_t r = 0; r < kTileRows; ++r) {
    store(sums + (r * kTile), total[r]);
  }
}

void multiply_blocks4(const LinearRun& run, const RowsView& view) {
  const Tiles tiles(kBlock);
  const LinearSpec& spec = run.linear->spec;
  const int64_t block_step = block_bytes(spec);
  const int64_t unpacked_tile = view.blocks * kBlock * kTile;
  constexpr int64_t kStep = 4;  // tiles that fit the scratch memory
  const int64_t grouped = run.quantized.rows - (run.quantized.rows % kTileRows);
  for (int64_t first = run.first_tile; first < run.last_tile; first += kStep) {
    const int64_t last = least(first + kStep, run.last_tile);
    for (int64_t tile = first; tile < last; ++tile) {
      for (int64_t b = 0; b < view.blocks; ++b) {
        unpack_signed4(tile_at(*run.linear, tile) + (b * block_step),
                       spec.zero_points,
                       run.scratch + ((tile - first) * unpacked_tile) + (b * kBlock * kTile));
      }
    }
    written();
    alignas(64) float sums[kTileRows * kTile];
    for (int64_t row = 0; row < run.rows; row += kTileRows) {
      const bool whole = row < grouped;
      const int64_t count = whole ? kTileRows : run.quantized.rows - row;
      const int64_t begin = whole ? row : run.quantized.rows - kTileRows;
      const Rows4 rows{view.values + (begin * view.values_row),
                       view.values_row,
                       view.scales + (row * view.blocks),
                       whole ? 1 : view.blocks,
                       whole ? kTileRows : 1};
      const auto multiply = whole ? multiply_rows4<kTileRows> : multiply_rows4<0>;
      for (int64_t tile = first; tile < last; ++tile) {
        multiply(rows,
                 tile_at(*run.linear, tile),
                 block_step,
                 run.scratch + ((tile - first) * unpacked_tile),
                 view.blocks,
                 count,
                 sums);
        store_tile(run, row, least(count, run.rows - row), tile * kTile, sums);
      }
    }
  }
}

// ---- the set -------------------------------------------------------------------------------------

bool in_tiles(const QuantizedRows& rows) {
  return rows.rows >= kTileRows && (rows.form == RowForm::kBlocks8 || rows.form == RowForm::kRows8);
}

// Rows one after another; scales of blocks in groups of 16 rows, [blocks][16], those of the rows behind them [blocks] each.
void quantize(
    const float* x, int64_t x_stride, const QuantizedRows& rows, int64_t first, int64_t last) {
  if (!in_tiles(rows)) {
    return vec_quantize(x, x_stride, rows, first, last);
  }
  const RowsView view = view_rows(rows);
  const bool blocks = has_blocks(rows.form);
  const int64_t grouped = rows.rows - (rows.rows % kTileRows);
  for (int64_t row = first; row < last; ++row) {
    RowTarget to{};
    to.group = row < grouped ? kTileRows : 1;
    const int64_t start = row - (row % to.group);
    const int64_t scale_at = blocks ? (start * view.blocks) + (row - start) : row;
    to.step = 4;
    to.values = view.values + (row * view.values_row);
    to.scales = view.scales + scale_at;
    to.starts = view.starts + (scale_at * 2);
    to.totals = view.totals + scale_at;
    to.sum = view.sums + row;
    quantize_row(x + (row * x_stride), rows.inputs, to, blocks);
  }
}

void run_linear(const LinearRun& run) {
  if (run.linear->form == RowForm::kFloats || !in_tiles(run.quantized)) {
    return avx512_wide_set()->run_linear(run);
  }
  const RowsView view = view_rows(run.quantized);
  run.linear->form == RowForm::kBlocks8 ? multiply_blocks4(run, view)
                                        : multiply_channels8(run, view);
}

}  // namespace

const KernelSet* amx_int8_set() {
  static const KernelSet kSet = [] {
    KernelSet set = *avx512_wide_set();
    set.name = "amx_int8";
    set.runs_here = runs_here;
    set.quantize = quantize;
    set.run_linear = run_linear;
    return set;
  }();
  return &kSet;
}

}  // namespace lorapress::kernels
#else
namespace lorapress::kernels {

const KernelSet* amx_int8_set() {
  return nullptr;
}

}  // namespace lorapress::kernels
#endif
