// Products in plain loops: those of two values, and those whose weights the plan does not pack.
#include <algorithm>
#include <cmath>

#include "engine/broadcast.h"
#include "engine/ops.h"

namespace lorapress::engine::ops {
namespace {

// c [rows, cols] = a [rows, inner] b [inner, cols], row-major; the sums run over inner in order.
template <typename C, typename A, typename B>
void product(
    const A* a, const B* b, C* c, int64_t first, int64_t last, int64_t inner, int64_t cols) {
  for (int64_t i = first; i < last; ++i) {
    C* to = c + i * cols;
    std::fill_n(to, cols, C{0});
    for (int64_t k = 0; k < inner; ++k) {
      const C factor = static_cast<C>(a[i * inner + k]);
      const B* row = b + k * cols;
      for (int64_t j = 0; j < cols; ++j) {
        to[j] += factor * static_cast<C>(row[j]);
      }
    }
  }
}

// The shapes of a MatMul whose inputs may have batches that broadcast, and rank 1.
struct Product {
  Dims a;
  Dims b;
  Dims batch;
  Dims out;
  int64_t rows;
  int64_t inner;
  int64_t cols;
};

Product product_of(const Call& call, const Dims& left, const Dims& right) {
  Product plan;
  plan.a = left;
  plan.b = right;
  call.require(left.rank() > 0 && right.rank() > 0, "a scalar");
  if (left.rank() == 1) {
    plan.a.insert(0, 1);
  }
  if (right.rank() == 1) {
    plan.b.insert(1, 1);
  }
  plan.rows = plan.a.back(2);
  plan.inner = plan.a.back();
  plan.cols = plan.b.back();
  if (plan.b.back(2) != plan.inner) {
    call.bad(left.text() + " times " + right.text());
  }
  Dims a_batch(plan.a.span().first(static_cast<size_t>(plan.a.rank() - 2)));
  Dims b_batch(plan.b.span().first(static_cast<size_t>(plan.b.rank() - 2)));
  plan.batch = broadcast(call, a_batch, b_batch);
  plan.a = a_batch;
  plan.b = b_batch;
  plan.out = plan.batch;
  if (left.rank() > 1) {
    plan.out.push_back(plan.rows);
  }
  if (right.rank() > 1) {
    plan.out.push_back(plan.cols);
  }
  return plan;
}

template <typename C, typename A, typename B>
void run_product(Call& call, const Product& plan, const A* a, const B* b, C* c) {
  const Dims* const inputs[2] = {&plan.a, &plan.b};
  const BroadcastWalk<2> walk(plan.batch, inputs);
  int64_t matrix = 0;
  walk.rows([&](int64_t, const int64_t(&from)[2], int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
      const A* left = a + (from[0] + i * walk.stride[0][walk.rank - 1]) * plan.rows * plan.inner;
      const B* right = b + (from[1] + i * walk.stride[1][walk.rank - 1]) * plan.inner * plan.cols;
      C* to = c + matrix++ * plan.rows * plan.cols;
      const int64_t grain = 1 + 65536 / (1 + plan.inner * plan.cols);
      for_range(call.workers(), plan.rows, grain, [&](int64_t first, int64_t last) {
        product(left, right, to, first, last, plan.inner, plan.cols);
      });
    }
  });
}

// A matrix of bytes, its zero point subtracted: none, one, or one a column.
std::vector<int32_t> centered(const Call& call, const Tensor& x, int zero_index) {
  const int64_t count = x.count();
  std::vector<int32_t> values(static_cast<size_t>(count));
  const int64_t columns = x.dims().back();
  int64_t zeros = 0;
  if (call.has(zero_index)) {
    zeros = call.in(zero_index).count();
    call.require(call.in(zero_index).type() == x.type() && (zeros == 1 || zeros == columns),
                 "a zero point of another type or shape");
  }
  const auto at = [](const Tensor& tensor, int64_t i) {
    return tensor.type() == Type::kU8 ? int32_t{tensor.as<uint8_t>()[i]}
                                      : int32_t{tensor.as<int8_t>()[i]};
  };
  for (int64_t i = 0; i < count; ++i) {
    const int32_t zero = zeros == 0   ? 0
                         : zeros == 1 ? at(call.in(zero_index), 0)
                                      : at(call.in(zero_index), i % columns);
    values[static_cast<size_t>(i)] = at(x, i) - zero;
  }
  return values;
}

// y [.., outputs] = x [.., inputs] w^T, row by row of the weights as restore(output, row) gives them.
template <typename F>
void product_of_rows(Call& call, int64_t inputs, int64_t outputs, const F& restore) {
  const Tensor& x = call.in(0);
  call.require(x.dims().rank() > 0 && x.dims().back() == inputs, "an input of another width");
  Dims dims = x.dims();
  dims[dims.rank() - 1] = outputs;
  const Tensor out = call.out(0, Type::kF32, dims);
  const int64_t rows = dims.product(0, dims.rank() - 1);
  for_range(call.workers(), outputs, 16, [&](int64_t first, int64_t last) {
    std::vector<float> weights(static_cast<size_t>(inputs));
    for (int64_t n = first; n < last; ++n) {
      restore(n, weights.data());
      for (int64_t row = 0; row < rows; ++row) {
        const float* from = x.floats() + row * inputs;
        float sum = 0.0F;
        for (int64_t k = 0; k < inputs; ++k) {
          sum += from[k] * weights[static_cast<size_t>(k)];
        }
        out.floats()[row * outputs + n] = sum;
      }
    }
  });
}

void add_bias(const Call& call, int index, int64_t outputs) {
  if (!call.has(index)) {
    return;
  }
  call.require(call.in(index).count() == outputs, "a bias of another width");
  const Tensor& out = call.run.slots[static_cast<size_t>(call.node.outputs[0])];
  for (int64_t i = 0; i < out.count(); ++i) {
    out.floats()[i] += call.in(index).floats()[i % outputs];
  }
}

// N and K of an operator with packed weights: at most 2^24 each.
void require_sizes(const Call& call, int64_t inputs, int64_t outputs, int64_t block) {
  constexpr int64_t kMost = int64_t{1} << 24;
  call.require(inputs > 0 && outputs > 0 && inputs < kMost && outputs < kMost && block >= 16 &&
                   block <= 4096,
               "sizes out of range");
}

// NormalFloat's levels (onnxruntime/contrib_ops/cpu/quantization/blockwise_quant_block_bnb4.h).
constexpr float kNormalFloat[16] = {-1.0F,
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

}  // namespace

// y = saturate(round(x / scale) + zero), scale = (max - min) / 255 of a range that contains 0.
void dynamic_quantize(Call& call) {
  const Tensor& x = call.in(0);
  const int64_t count = x.count();
  float low = 0.0F;
  float high = 0.0F;
  for (int64_t i = 0; i < count; ++i) {
    low = std::min(low, x.floats()[i]);
    high = std::max(high, x.floats()[i]);
  }
  const float scale = high == low ? 1.0F : (high - low) / 255.0F;
  const float zero = std::nearbyint(std::clamp(0.0F - low / scale, 0.0F, 255.0F));
  const Tensor out = call.out(0, Type::kU8, x.dims());
  for (int64_t i = 0; i < count; ++i) {
    out.as<uint8_t>()[i] = static_cast<uint8_t>(
        std::clamp(std::nearbyint(x.floats()[i] / scale) + zero, 0.0F, 255.0F));
  }
  *call.out(1, Type::kF32, Dims{}).floats() = scale;
  *call.out(2, Type::kU8, Dims{}).as<uint8_t>() = static_cast<uint8_t>(zero);
}

// Attributes: alpha, beta, transA, transB.
void gemm(Call& call) {
  const Tensor& a = call.in(0);
  const Tensor& b = call.in(1);
  call.require(a.dims().rank() == 2 && b.dims().rank() == 2, "inputs that are no matrices");
  const bool turned_a = call.integer(2) != 0;
  const bool turned_b = call.integer(3) != 0;
  const int64_t rows = a.dims()[turned_a ? 1 : 0];
  const int64_t inner = a.dims()[turned_a ? 0 : 1];
  const int64_t cols = b.dims()[turned_b ? 0 : 1];
  call.require(b.dims()[turned_b ? 1 : 0] == inner, "matrices that do not fit");
  const Tensor out = call.out(0, Type::kF32, Dims{rows, cols});
  const bool biased = call.has(2);
  Dims bias = biased ? call.in(2).dims() : Dims{};
  call.require(!biased || broadcast(call, bias, out.dims()) == out.dims(), "a bias that is larger");
  while (bias.rank() < 2) {
    bias.insert(0, 1);
  }
  for_range(call.workers(), cols, 16, [&](int64_t first, int64_t last) {
    for (int64_t j = first; j < last; ++j) {
      for (int64_t i = 0; i < rows; ++i) {
        float sum = 0.0F;
        for (int64_t k = 0; k < inner; ++k) {
          sum += a.floats()[turned_a ? k * rows + i : i * inner + k] *
                 b.floats()[turned_b ? j * inner + k : k * cols + j];
        }
        sum *= call.number(0);
        if (biased) {
          const int64_t row = bias[0] == 1 ? 0 : i;
          sum += call.number(1) * call.in(2).floats()[row * bias[1] + (bias[1] == 1 ? 0 : j)];
        }
        out.floats()[i * cols + j] = sum;
      }
    }
  });
}

void matmul(Call& call) {
  const Product plan = product_of(call, call.in(0).dims(), call.in(1).dims());
  const Tensor out = call.out(0, Type::kF32, plan.out);
  run_product(call, plan, call.in(0).floats(), call.in(1).floats(), out.floats());
}

// Attributes: K, N, block_size, quant_type (1: NormalFloat). Blocks run over the matrix [N, K] flattened,
// the first of two values in the high half.
void matmul_bnb4(Call& call) {
  const int64_t inputs = call.integer(0);
  const int64_t outputs = call.integer(1);
  const int64_t block = call.integer(2);
  require_sizes(call, inputs, outputs, block);
  call.require(call.integer(3) == 1, "a quant_type other than 1");
  const Tensor& packed = call.in(1);
  const Tensor& largest = call.in(2);
  const int64_t count = inputs * outputs;
  call.require(packed.type() == Type::kU8 && packed.count() == (count + 1) / 2 &&
                   largest.count() == (count + block - 1) / block,
               "weights of another size");
  product_of_rows(call, inputs, outputs, [&](int64_t n, float* row) {
    for (int64_t k = 0; k < inputs; ++k) {
      const int64_t at = n * inputs + k;
      const uint8_t pair = packed.as<uint8_t>()[at / 2];
      row[k] = kNormalFloat[at % 2 == 0 ? pair >> 4 : pair & 15] * largest.floats()[at / block];
    }
  });
}

void matmul_integer(Call& call) {
  const Tensor& a = call.in(0);
  const Tensor& b = call.in(1);
  const Product plan = product_of(call, a.dims(), b.dims());
  call.require(b.dims().rank() == 2, "weights that are no matrix");
  call.require(!call.has(2) || call.in(2).count() == 1, "a zero point for each row");
  const std::vector<int32_t> left = centered(call, a, 2);
  const std::vector<int32_t> right = centered(call, b, 3);
  const Tensor out = call.out(0, Type::kI32, plan.out);
  run_product(call, plan, left.data(), right.data(), out.as<int32_t>());
}

// Attributes: K, N, bits, block_size. Inputs: A, B uint8 [N, blocks, block_size / 2], scales [N * blocks],
// (zero points uint8 [N, ceil(blocks / 2)]), -, (bias [N]).
void matmul_nbits(Call& call) {
  const int64_t inputs = call.integer(0);
  const int64_t outputs = call.integer(1);
  const int64_t block = call.integer(3);
  require_sizes(call, inputs, outputs, block);
  call.require(call.integer(2) == 4 && block % 2 == 0 && !call.has(4),
               "bits other than 4, or g_idx");
  const int64_t blocks = (inputs + block - 1) / block;
  const int64_t pitch = (blocks + 1) / 2;
  const Tensor& packed = call.in(1);
  const Tensor& scales = call.in(2);
  const bool centered = call.has(3);
  call.require(
      packed.type() == Type::kU8 && packed.count() == outputs * blocks * block / 2 &&
          scales.count() == outputs * blocks &&
          (!centered || (call.in(3).type() == Type::kU8 && call.in(3).count() == outputs * pitch)),
      "weights of another size");
  product_of_rows(call, inputs, outputs, [&](int64_t n, float* row) {
    for (int64_t k = 0; k < inputs; ++k) {
      const int64_t at = k / block;
      const uint8_t pair = packed.as<uint8_t>()[(n * blocks * block + k) / 2];
      int zero = 8;
      if (centered) {
        const uint8_t zeros = call.in(3).as<uint8_t>()[n * pitch + at / 2];
        zero = at % 2 == 0 ? zeros & 15 : zeros >> 4;
      }
      const int value = (k % 2 == 0 ? pair & 15 : pair >> 4) - zero;
      row[k] = static_cast<float>(value) * scales.floats()[n * blocks + at];
    }
  });
  add_bias(call, 5, outputs);
}

}  // namespace lorapress::engine::ops
