#include "verify/reference_math.h"

#include <Eigen/Core>
#include <cmath>
#include <numbers>

#include "base/buffer.h"
#include "base/threads.h"

namespace lorapress::reference {
namespace {

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Stride = Eigen::OuterStride<>;
using ConstView = Eigen::Map<const Matrix, Eigen::Unaligned, Stride>;
using View = Eigen::Map<Matrix, Eigen::Unaligned, Stride>;

constexpr int64_t kBlockFloats = int64_t{1} << 18;  // of a weight that one task reads: 1 MB

// Runs over rows in parallel pieces of a useful size.
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

void attend_head(const AttentionShape& shape, const AttentionPart& part, int64_t head) {
  const int64_t d = shape.head_dim;
  const int64_t kv_head = head / (shape.heads / shape.kv_heads);
  const Stride wide(shape.heads * d);
  const Stride narrow(shape.kv_heads * d);
  const ConstView q(part.query + head * d, part.rows, d, wide);
  const ConstView k(part.key + kv_head * d, part.total, d, narrow);
  const ConstView v(part.value + kv_head * d, part.total, d, narrow);
  View out(part.out + head * d, part.rows, d, wide);
  Matrix scores = q * k.transpose();
  scores *= static_cast<float>(1.0 / std::sqrt(static_cast<double>(d)));
  for (int64_t row = 0; row < part.rows; ++row) {
    const int64_t seen = shape.causal ? part.total - part.rows + row + 1 : part.total;
    auto line = scores.row(row);
    const float most = line.head(seen).maxCoeff();
    double sum = 0.0;
    for (int64_t col = 0; col < seen; ++col) {
      line[col] = std::exp(line[col] - most);
      sum += static_cast<double>(line[col]);
    }
    line.head(seen) *= static_cast<float>(1.0 / sum);
    line.tail(part.total - seen).setZero();
  }
  out.noalias() = scores * v;
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

Rows linear(const Context& context, const Linear& layer, const Rows& x) {
  if (context.listener) {
    context.listener({layer.name, x.cols, x.values});
  }
  const int64_t out_features = layer.weight->rows();
  const int64_t block = std::clamp<int64_t>(kBlockFloats / x.cols, 1, out_features);
  const std::vector<float> bias = layer.bias ? read_all_float32(*layer.bias) : std::vector<float>();
  Rows y(x.rows, out_features);
  const ConstView input(x.values.data(), x.rows, x.cols, Stride(x.cols));
  const auto tasks = static_cast<size_t>((out_features + block - 1) / block);
  parallel_for(tasks, context.threads, [&](size_t task, unsigned /*worker*/) {
    const int64_t first = static_cast<int64_t>(task) * block;
    const int64_t count = std::min(block, out_features - first);
    Buffer<float> values(static_cast<size_t>(count * x.cols));
    layer.weight->read_floats({first, count, 0, x.cols}, values.span());
    const ConstView weight(values.data(), count, x.cols, Stride(x.cols));
    View out(y.values.data() + first, x.rows, count, Stride(out_features));
    out.noalias() = input * weight.transpose();
    if (!bias.empty()) {
      const Eigen::Map<const Eigen::RowVectorXf> shift(bias.data() + first, count);
      out.rowwise() += shift;
    }
  });
  return y;
}

Rows layer_norm(const Norm& norm, const Rows& x) {
  const std::vector<float> weight = read_all_float32(*norm.weight);
  const std::vector<float> bias = read_all_float32(*norm.bias);
  const auto width = static_cast<double>(x.cols);
  Rows y(x.rows, x.cols);
  for (int64_t row = 0; row < x.rows; ++row) {
    const auto in = x.row(row);
    double sum = 0.0;
    for (const float value : in) {
      sum += static_cast<double>(value);
    }
    const double mean = sum / width;
    double squares = 0.0;
    for (const float value : in) {
      const double centred = static_cast<double>(value) - mean;
      squares += centred * centred;
    }
    const double scale = 1.0 / std::sqrt(squares / width + norm.eps);
    const auto out = y.row(row);
    for (size_t i = 0; i < in.size(); ++i) {
      out[i] =
          static_cast<float>((static_cast<double>(in[i]) - mean) * scale) * weight[i] + bias[i];
    }
  }
  return y;
}

Rows rms_norm(const Norm& norm, const Rows& x) {
  const std::vector<float> weight = read_all_float32(*norm.weight);
  Rows y(x.rows, x.cols);
  for (int64_t row = 0; row < x.rows; ++row) {
    const auto in = x.row(row);
    double squares = 0.0;
    for (const float value : in) {
      squares += static_cast<double>(value) * static_cast<double>(value);
    }
    const double scale = 1.0 / std::sqrt(squares / static_cast<double>(x.cols) + norm.eps);
    const auto out = y.row(row);
    for (size_t i = 0; i < in.size(); ++i) {
      out[i] = weight[i] * static_cast<float>(static_cast<double>(in[i]) * scale);
    }
  }
  return y;
}

void add(Rows& x, const Rows& y) {
  for (size_t i = 0; i < x.values.size(); ++i) {
    x.values[i] += y.values[i];
  }
}

void gelu_tanh(const Context& context, Rows& x) {
  const float root = std::sqrt(2.0F / std::numbers::pi_v<float>);
  for_rows(context, x.rows, [&](int64_t row) {
    for (float& value : x.row(row)) {
      const float inner = root * (value + 0.044715F * value * value * value);
      value = 0.5F * value * (1.0F + std::tanh(inner));
    }
  });
}

void gelu_erf(const Context& context, Rows& x) {
  for_rows(context, x.rows, [&](int64_t row) {
    for (float& value : x.row(row)) {
      value = 0.5F * value * (1.0F + std::erf(value / std::numbers::sqrt2_v<float>));
    }
  });
}

void silu_times(const Context& context, Rows& gate, const Rows& up) {
  for_rows(context, gate.rows, [&](int64_t row) {
    const auto out = gate.row(row);
    const auto other = up.row(row);
    for (size_t i = 0; i < out.size(); ++i) {
      out[i] = out[i] / (1.0F + std::exp(-out[i])) * other[i];
    }
  });
}

void attend(const Context& context,
            const AttentionShape& shape,
            const std::vector<AttentionPart>& parts) {
  const auto heads = static_cast<size_t>(shape.heads);
  parallel_for(parts.size() * heads, context.threads, [&](size_t task, unsigned /*worker*/) {
    attend_head(shape, parts[task / heads], static_cast<int64_t>(task % heads));
  });
}

}  // namespace lorapress::reference
