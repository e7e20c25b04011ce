#include "schemes/bnb4.h"

#include <algorithm>
#include <array>
#include <cfloat>
#include <cmath>
#include <cstring>
#include <memory>

#include "base/buffer.h"
#include "base/convert.h"
#include "base/fail.h"
#include "base/simd.h"
#include "quant/quantized_weight.h"
#include "quant/rounding.h"
#include "rewrite/patchify.h"
#include "rewrite/products.h"
#include "schemes/nbits_plan.h"

namespace lorapress {
namespace {

constexpr int64_t kNormalFloat = 1;  // MatMulBnb4's quant_type

// QLoRA, https://arxiv.org/abs/2305.14314, appendix E: quantiles of the normal distribution. Code i
// stands for kLevels[i]; it is taken above kSteps[i - 1], the middle between two levels.
constexpr std::array<float, 16> kLevels = {-1.0F,
                                           -0.6961928009986877F,
                                           -0.5250730514526367F,
                                           -0.39491748809814453F,
                                           -0.28444138169288635F,
                                           -0.18477343022823334F,
                                           -0.09105003625154495F,
                                           0.0F,
                                           0.07958029955625534F,
                                           0.16093020141124725F,
                                           0.24611230194568634F,
                                           0.33791524171829224F,
                                           0.44070982933044434F,
                                           0.5626170039176941F,
                                           0.7229568362236023F,
                                           1.0F};
constexpr std::array<float, 15> kSteps = {-0.8480964004993439F,
                                          -0.6106329262256622F,
                                          -0.4599952697753906F,
                                          -0.33967943489551544F,
                                          -0.23460740596055984F,
                                          -0.13791173323988914F,
                                          -0.045525018125772476F,
                                          0.03979014977812767F,
                                          0.1202552504837513F,
                                          0.2035212516784668F,
                                          0.2920137718319893F,
                                          0.3893125355243683F,
                                          0.5016634166240692F,
                                          0.6427869200706482F,
                                          0.8614784178118011F};

float reciprocal(float absmax) {
  return absmax < FLT_MIN ? 0.0F : 1.0F / absmax;
}

LORAPRESS_SIMD void encode(const float* values, size_t count, float inverse, uint8_t* codes) {
  for (size_t i = 0; i < count; ++i) {
    const float x = values[i] * inverse;
    int code = 0;
    for (const float step : kSteps) {
      code += x > step ? 1 : 0;
    }
    codes[i] = static_cast<uint8_t>(code);
  }
}

LORAPRESS_SIMD void join(const uint8_t* codes, size_t pairs, uint8_t* packed) {
  for (size_t i = 0; i < pairs; ++i) {
    packed[i] = static_cast<uint8_t>(codes[2 * i] << 4 | codes[2 * i + 1]);
  }
}

class Bnb4Source {
 public:
  Bnb4Source(std::string name, WeightPtr matrix, int64_t block_size)
      : name_(std::move(name)), matrix_(std::move(matrix)), block_size_(block_size) {}

  [[nodiscard]] const Weight& matrix() const { return *matrix_; }
  [[nodiscard]] int64_t block_size() const { return block_size_; }
  [[nodiscard]] int64_t count() const { return matrix_->rows() * matrix_->cols(); }
  [[nodiscard]] int64_t blocks() const { return (count() + block_size_ - 1) / block_size_; }

  // Values of the flattened matrix.
  void read(int64_t first, std::span<float> out) const {
    const int64_t columns = matrix_->cols();
    for (std::span<float> left = out; !left.empty();) {
      const int64_t row = first / columns;
      const int64_t col = first % columns;
      const auto wanted = static_cast<int64_t>(left.size());
      Block block{row, 1, col, std::min(columns - col, wanted)};
      if (col == 0 && wanted >= columns) {
        block = {row, wanted / columns, 0, columns};
      }
      matrix_->read_floats(block, left.first(block.elements()));
      left = left.subspan(block.elements());
      first += static_cast<int64_t>(block.elements());
    }
    if (!all_finite(out)) {
      fail(ErrorCode::kInvalidFile,
           "tensor {}: holds values that are not finite (NaN or infinity), which 4-bit blocks "
           "cannot "
           "hold; leave it out (options.exclude) or repair the checkpoint",
           name_);
    }
  }

  // Blocks [first, last) in portions that bound memory: (first block, their values, largest
  // magnitudes).
  template <typename Use>
  void for_portions(int64_t first, int64_t last, const Use& use) const {
    Buffer<float> values;
    Buffer<float> absmax;
    const int64_t most = std::max<int64_t>(1, portion_elements() / block_size_);
    for (int64_t block = first; block < last; block += most) {
      const int64_t end = std::min(last, block + most);
      const int64_t elements = std::min(end * block_size_, count()) - block * block_size_;
      values.resize(static_cast<size_t>(elements));
      absmax.resize(static_cast<size_t>(end - block));
      read(block * block_size_, values.span());
      for (size_t i = 0; i < absmax.size(); ++i) {
        float most_here = 0.0F;
        for (const float value : part(values.span(), i)) {
          most_here = std::max(most_here, std::fabs(value));
        }
        absmax[i] = most_here;
      }
      use(block, values.span(), absmax.span());
    }
  }

  // Block i of some blocks; the last one of a matrix may be shorter.
  template <typename T>
  std::span<T> part(std::span<T> values, size_t i) const {
    const size_t begin = i * static_cast<size_t>(block_size_);
    return values.subspan(begin, std::min(static_cast<size_t>(block_size_), values.size() - begin));
  }

  void encode_all(std::span<const float> values,
                  std::span<const float> absmax,
                  std::span<uint8_t> codes) const {
    for (size_t i = 0; i < absmax.size(); ++i) {
      const auto some = part(values, i);
      encode(some.data(), some.size(), reciprocal(absmax[i]), part(codes, i).data());
    }
  }

 private:
  // A transposed matrix is read in whole rows where blocks allow, and in larger portions.
  [[nodiscard]] int64_t portion_elements() const {
    constexpr int64_t kElements = int64_t{64} << 10;
    const int64_t columns = std::max<int64_t>(matrix_->cols(), 1);
    const int64_t rows = (matrix_->row_wise() ? kElements : 16 * kElements) / columns;
    return columns % block_size_ == 0 && rows > 0 ? rows * columns : kElements;
  }

  std::string name_;
  WeightPtr matrix_;
  int64_t block_size_;
};

using SourcePtr = std::shared_ptr<const Bnb4Source>;

class CodesWeight final : public QuantizedWeight {
 public:
  CodesWeight(const std::string& name, SourcePtr source)
      : QuantizedWeight(DType::kU8, {(source->count() + 1) / 2}, name),
        source_(std::move(source)) {}

  void read(const Block& block, std::span<std::byte> out) const override {
    if (out.empty()) {
      return;
    }
    const int64_t half = source_->block_size() / 2;
    const int64_t end = block.col + block.cols;
    Buffer<uint8_t> codes;
    Buffer<uint8_t> packed;
    source_->for_portions(
        block.col / half, (end + half - 1) / half, [&](int64_t first, auto values, auto absmax) {
          codes.resize(values.size() + values.size() % 2);
          codes[codes.size() - 1] = kNothing;  // stays where the count is odd
          packed.resize(codes.size() / 2);
          source_->encode_all(values, absmax, codes.span().first(values.size()));
          join(codes.data(), packed.size(), packed.data());
          const int64_t start = first * half;
          const int64_t from = std::max(block.col, start);
          const int64_t to = std::min(end, start + static_cast<int64_t>(packed.size()));
          std::memcpy(out.data() + (from - block.col),
                      packed.data() + (from - start),
                      static_cast<size_t>(to - from));
        });
  }

  [[nodiscard]] const Weight& matrix() const override { return source_->matrix(); }

  void restore(int64_t row,
               int64_t rows,
               std::span<float> original,
               std::span<float> restored) const override {
    const int64_t columns = matrix().cols();
    const int64_t begin = row * columns;
    const int64_t end = begin + rows * columns;
    const int64_t size = source_->block_size();
    Buffer<uint8_t> codes;
    source_->for_portions(
        begin / size, (end + size - 1) / size, [&](int64_t first, auto values, auto absmax) {
          codes.resize(values.size());
          source_->encode_all(values, absmax, codes.span());
          for (size_t i = 0; i < values.size(); ++i) {
            const int64_t at = first * size + static_cast<int64_t>(i);
            if (at >= begin && at < end) {
              const auto to = static_cast<size_t>(at - begin);
              original[to] = values[i];
              restored[to] = kLevels[codes[i]] * absmax[i / static_cast<size_t>(size)];
            }
          }
        });
  }

 private:
  static constexpr uint8_t kNothing = 7;  // stands for 0

  SourcePtr source_;
};

class AbsmaxWeight final : public Weight {
 public:
  explicit AbsmaxWeight(const SourcePtr& source)
      : Weight(source->matrix().dtype(), {source->blocks()}), source_(source) {}

  void read(const Block& block, std::span<std::byte> out) const override {
    const size_t size = dtype_size(dtype());
    source_->for_portions(
        block.col, block.col + block.cols, [&](int64_t first, auto /*values*/, auto absmax) {
          from_float32(
              dtype(),
              absmax,
              out.subspan(static_cast<size_t>(first - block.col) * size, absmax.size() * size));
        });
  }

  [[nodiscard]] bool row_wise() const override { return source_->matrix().row_wise(); }

 private:
  SourcePtr source_;
};

struct Bnb4Tensors {
  std::string packed;
  std::string absmax;
  int64_t rows = 0;
  int64_t columns = 0;
};

}  // namespace

Bnb4Weights quantize_bnb4(const std::string& name, WeightPtr matrix, int64_t block_size) {
  const auto source = std::make_shared<const Bnb4Source>(name, std::move(matrix), block_size);
  return {std::make_shared<CodesWeight>(name, source), std::make_shared<AbsmaxWeight>(source)};
}

//  A [..., K] ── MatMulBnb4(packed, absmax) ── [..., N]
void apply_bnb4(Model& model, const SchemeContext& context) {
  convolutions_to_products(model);
  expand_products(model, context.options);
  Rewriter graph(model);
  MatrixCensus census(graph, context.options);
  const int64_t block_size = context.options.block_size;
  std::map<std::string, Bnb4Tensors> tensors;
  for (const auto& [name, plan] : plan_matrices(graph, context.options, census)) {
    if (plan.looked_up) {
      census.because(name, "looked up, which bnb4 has no form for");
      continue;
    }
    const Bnb4Weights made = quantize_bnb4(name, plan.matrix, block_size);
    tensors[name] = {graph.add_weight(name + "_Bnb4", made.packed),
                     graph.add_weight(name + "_absmax", made.absmax),
                     plan.matrix->rows(),
                     plan.matrix->cols()};
  }
  census.report(context, "4 bit", tensors);
  if (tensors.empty()) {
    return;
  }
  graph.rewrite([&](const onnx::NodeProto& node, NodeList& nodes) {
    const auto use = matrix_use(graph, node);
    const auto found = use ? tensors.find(use->weight) : tensors.end();
    if (found == tensors.end()) {
      return false;
    }
    const Bnb4Tensors& weight = found->second;
    const auto multiply = [&](const std::string& output) {
      nodes.push_back(make_node("MatMulBnb4",
                                node.name(),
                                {node.input(0), weight.packed, weight.absmax},
                                {output},
                                {{"K", weight.columns},
                                 {"N", weight.rows},
                                 {"block_size", block_size},
                                 {"quant_type", kNormalFloat}},
                                kMicrosoftDomain));
    };
    emit_product(graph, node, graph.weight(use->weight)->dtype(), multiply, nodes);
    return true;
  });
  graph.require_opset(std::string(kMicrosoftDomain), 1);
  graph.drop_unused_weights();
}

}  // namespace lorapress
