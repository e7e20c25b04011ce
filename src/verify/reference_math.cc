#include "verify/reference_math.h"

#include <Eigen/Core>
#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <type_traits>

#include "base/buffer.h"
#include "base/convert.h"
#include "base/threads.h"

namespace lorapress::reference {
namespace {

template <typename T>
using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Stride = Eigen::OuterStride<>;
template <typename T>
using ConstView = Eigen::Map<const Matrix<T>, Eigen::Unaligned, Stride>;
template <typename T>
using View = Eigen::Map<Matrix<T>, Eigen::Unaligned, Stride>;

constexpr int64_t kBlockFloats = int64_t{1} << 18;  // values of a weight that one task reads: 1 MB

// Runs over rows in parallel pieces, each large enough to be worth a task.
void for_rows(const Context& context, int64_t rows, const std::function<void(int64_t)>& work) {
  constexpr int64_t kPiece = 16;
  const auto pieces = static_cast<size_t>((rows + kPiece - 1) / kPiece);
  parallel_for(pieces, context.threads, [&](size_t piece, unsigned /*worker*/) {
    const int64_t first = static_cast<int64_t>(piece) * kPiece;
    for (int64_t row = first; row < std::min(first + kPiece, rows); ++row) {
      work(row);
    }
  });
}

template <typename T>
void attend_head(const AttentionShape& shape, const AttentionPart<T>& part, int64_t head) {
  const int64_t d = shape.head_dim;
  const int64_t kv_head = head / (shape.heads / shape.kv_heads);
  const Stride wide(shape.heads * d);
  const Stride narrow(shape.kv_heads * d);
  const ConstView<T> q(part.query + head * d, part.rows, d, wide);
  const ConstView<T> k(part.key + kv_head * d, part.total, d, narrow);
  const ConstView<T> v(part.value + kv_head * d, part.total, d, narrow);
  View<T> out(part.out + head * d, part.rows, d, wide);
  Matrix<T> scores = q * k.transpose();
  scores *= static_cast<T>(1.0 / std::sqrt(static_cast<double>(d)));
  for (int64_t row = 0; row < part.rows; ++row) {
    const int64_t seen = shape.causal ? part.total - part.rows + row + 1 : part.total;
    const int64_t first = shape.window == 0 ? 0 : std::max<int64_t>(0, seen - shape.window);
    auto line = scores.row(row);
    auto visible = line.segment(first, seen - first);
    const T most = visible.maxCoeff();
    double sum = 0.0;
    for (int64_t col = first; col < seen; ++col) {
      line[col] = std::exp(line[col] - most);
      sum += static_cast<double>(line[col]);
    }
    visible *= static_cast<T>(1.0 / sum);
    line.head(first).setZero();
    line.tail(part.total - seen).setZero();
  }
  out.noalias() = scores * v;
}

void round_to_float16(std::span<float> values) {
  constexpr size_t kPart = 1024;
  std::array<std::byte, kPart * 2> half;
  for (size_t at = 0; at < values.size(); at += kPart) {
    const std::span<float> part = values.subspan(at, std::min(kPart, values.size() - at));
    const std::span<std::byte> bytes = std::span(half).first(part.size() * 2);
    from_float32(DType::kF16, part, bytes);
    to_float32(DType::kF16, bytes, part);
  }
}

// A block of rows of the weight, in the forward's number type.
template <typename T>
void read_block(const Context& context, const Weight& weight, const Block& block, Buffer<T>& out) {
  out.resize(block.elements());
  if constexpr (std::is_same_v<T, float>) {
    weight.read_floats(block, out.span());
    if (context.as_float16) {
      round_to_float16(out.span());
    }
  } else {
    Buffer<float> values(block.elements());
    weight.read_floats(block, values.span());
    std::ranges::copy(values.span(), out.data());
  }
}

template <typename T>
BasicRows<T> multiply(const Context& context, const Linear& layer, const BasicRows<T>& x) {
  const int64_t out_features = layer.weight->rows();
  const int64_t block = std::clamp<int64_t>(kBlockFloats / x.cols, 1, out_features);
  const std::vector<float> bias = layer.bias ? read_all_float32(*layer.bias) : std::vector<float>();
  BasicRows<T> y(x.rows, out_features);
  const ConstView<T> input(x.values.data(), x.rows, x.cols, Stride(x.cols));
  const auto tasks = static_cast<size_t>((out_features + block - 1) / block);
  parallel_for(tasks, context.threads, [&](size_t task, unsigned /*worker*/) {
    const int64_t first = static_cast<int64_t>(task) * block;
    const int64_t count = std::min(block, out_features - first);
    Buffer<T> values;
    read_block(context, *layer.weight, {first, count, 0, x.cols}, values);
    const ConstView<T> weight(values.data(), count, x.cols, Stride(x.cols));
    View<T> out(y.values.data() + first, x.rows, count, Stride(out_features));
    out.noalias() = input * weight.transpose();
    if (!bias.empty()) {
      const Eigen::Map<const Eigen::RowVectorXf> shift(bias.data() + first, count);
      out.rowwise() += shift.cast<T>();
    }
  });
  return y;
}

}  // namespace

Linear take_linear(WeightTaker& weights,
                   const std::string& name,
                   int64_t out_features,
                   int64_t in_features,
                   bool biased) {
  return {name,
          weights.take(name + ".weight", {out_features, in_features}),
          biased ? weights.take(name + ".bias", {out_features}) : nullptr};
}

template <typename T>
BasicRows<T> linear(const Context& context, const Linear& layer, const BasicRows<T>& given) {
  if constexpr (std::is_same_v<T, float>) {
    if (context.listener) {
      context.listener({layer.name, given.cols, given.values});
    }
    if (context.as_float16) {
      BasicRows<T> rounded = given;
      round_to_float16(rounded.values);
      BasicRows<T> y = multiply(context, layer, rounded);
      round_to_float16(y.values);
      return y;
    }
  }
  return multiply(context, layer, given);
}
template <typename T>
BasicRows<T> layer_norm(const Norm& norm, const BasicRows<T>& x) {
  const std::vector<float> weight = read_all_float32(*norm.weight);
  const std::vector<float> bias = read_all_float32(*norm.bias);
  const auto width = static_cast<double>(x.cols);
  BasicRows<T> y(x.rows, x.cols);
  for (int64_t row = 0; row < x.rows; ++row) {
    const auto in = x.row(row);
    double sum = 0.0;
    for (const T value : in) {
      sum += static_cast<double>(value);
    }
    const double mean = sum / width;
    double squares = 0.0;
    for (const T value : in) {
      const double centred = static_cast<double>(value) - mean;
      squares += centred * centred;
    }
    const double scale = 1.0 / std::sqrt(squares / width + norm.eps);
    const auto out = y.row(row);
    for (size_t i = 0; i < in.size(); ++i) {
      const auto unit = static_cast<T>((static_cast<double>(in[i]) - mean) * scale);
      out[i] = unit * static_cast<T>(weight[i]) + static_cast<T>(bias[i]);
    }
  }
  return y;
}

template <typename T>
BasicRows<T> rms_norm(const Norm& norm, const BasicRows<T>& x) {
  const std::vector<float> weight = read_all_float32(*norm.weight);
  BasicRows<T> y(x.rows, x.cols);
  for (int64_t row = 0; row < x.rows; ++row) {
    const auto in = x.row(row);
    double squares = 0.0;
    for (const T value : in) {
      squares += static_cast<double>(value) * static_cast<double>(value);
    }
    const double scale = 1.0 / std::sqrt(squares / static_cast<double>(x.cols) + norm.eps);
    const auto out = y.row(row);
    for (size_t i = 0; i < in.size(); ++i) {
      out[i] = static_cast<T>(weight[i]) * static_cast<T>(static_cast<double>(in[i]) * scale);
    }
  }
  return y;
}

template <typename T>
void add(BasicRows<T>& x, const BasicRows<T>& y) {
  for (size_t i = 0; i < x.values.size(); ++i) {
    x.values[i] += y.values[i];
  }
}

template <typename T>
void gelu_tanh(const Context& context, BasicRows<T>& x) {
  const T root = std::sqrt(T{2} / std::numbers::pi_v<T>);
  for_rows(context, x.rows, [&](int64_t row) {
    for (T& value : x.row(row)) {
      const T inner = root * (value + static_cast<T>(0.044715) * value * value * value);
      value = static_cast<T>(0.5) * value * (T{1} + std::tanh(inner));
    }
  });
}

template <typename T>
void gelu_erf(const Context& context, BasicRows<T>& x) {
  for_rows(context, x.rows, [&](int64_t row) {
    for (T& value : x.row(row)) {
      value = static_cast<T>(0.5) * value * (T{1} + std::erf(value / std::numbers::sqrt2_v<T>));
    }
  });
}

template <typename T>
void gelu_quick(const Context& context, BasicRows<T>& x) {
  for_rows(context, x.rows, [&](int64_t row) {
    for (T& value : x.row(row)) {
      value = value / (T{1} + std::exp(static_cast<T>(-1.702) * value));
    }
  });
}

template <typename T>
void silu_times(const Context& context, BasicRows<T>& gate, const BasicRows<T>& up) {
  for_rows(context, gate.rows, [&](int64_t row) {
    const auto out = gate.row(row);
    const auto other = up.row(row);
    for (size_t i = 0; i < out.size(); ++i) {
      out[i] = out[i] / (T{1} + std::exp(-out[i])) * other[i];
    }
  });
}

template <typename T>
void attend(const Context& context,
            const AttentionShape& shape,
            const std::vector<AttentionPart<T>>& parts) {
  const auto heads = static_cast<size_t>(shape.heads);
  parallel_for(parts.size() * heads, context.threads, [&](size_t task, unsigned /*worker*/) {
    attend_head(shape, parts[task / heads], static_cast<int64_t>(task % heads));
  });
}

// clang-format off
#define LORAPRESS_INSTANTIATE(T)                                                                 \
  template BasicRows<T> linear(const Context&, const Linear&, const BasicRows<T>&);              \
  template BasicRows<T> layer_norm(const Norm&, const BasicRows<T>&);                            \
  template BasicRows<T> rms_norm(const Norm&, const BasicRows<T>&);                              \
  template void add(BasicRows<T>&, const BasicRows<T>&);                                         \
  template void gelu_tanh(const Context&, BasicRows<T>&);                                        \
  template void gelu_erf(const Context&, BasicRows<T>&);                                         \
  template void gelu_quick(const Context&, BasicRows<T>&);                                       \
  template void silu_times(const Context&, BasicRows<T>&, const BasicRows<T>&);                  \
  template void attend(const Context&, const AttentionShape&, const std::vector<AttentionPart<T>>&);
LORAPRESS_INSTANTIATE(float)
LORAPRESS_INSTANTIATE(double)
#undef LORAPRESS_INSTANTIATE
// clang-format on

}  // namespace lorapress::reference
