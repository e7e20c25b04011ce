#include <cmath>
#include <limits>

#include "engine/ops.h"

namespace lorapress::engine::ops {
namespace {

// The walk of a reduction: elements `at + outer` for every outer of the kept dimensions.
struct Reduction {
  Dims dims;  // of the output
  Dims kept;  // axes of the input
  Dims reduced;
};

// Attribute 0 is keepdims, 1 axes (before opset 18), 2 noop_with_empty_axes.
Reduction reduction(const Call& call) {
  const Dims& dims = call.in(0).dims();
  const Dims axes = call.has(1) ? call.list(1) : Dims(call.attribute(1).integers);
  call.require(axes.rank() > 0 || call.integer(2) == 0, "noop_with_empty_axes");
  bool chosen[kMostDims] = {};
  for (const int64_t axis : axes) {
    chosen[call.axis(axis, dims.rank())] = true;
  }
  Reduction found;
  for (int axis = 0; axis < dims.rank(); ++axis) {
    if (axes.rank() == 0 || chosen[axis]) {
      found.reduced.push_back(axis);
      if (call.integer(0) != 0) {
        found.dims.push_back(1);
      }
    } else {
      found.kept.push_back(axis);
      found.dims.push_back(dims[axis]);
    }
  }
  return found;
}

// Offset of the index-th element over some axes.
int64_t offset(const Dims& dims, const Dims& axes, int64_t index) {
  int64_t at = 0;
  for (int i = axes.rank() - 1; i >= 0; --i) {
    const auto axis = static_cast<int>(axes[i]);
    at += index % dims[axis] * dims.product(axis + 1, dims.rank());
    index /= dims[axis];
  }
  return at;
}

template <typename T, typename F, typename G>
void reduce_of(Call& call, T first, const F& function, const G& finish) {
  const Tensor& x = call.in(0);
  const Reduction plan = reduction(call);
  const Tensor out = call.out(0, x.type(), plan.dims);
  int64_t inner = 1;
  for (const int64_t axis : plan.reduced) {
    inner *= x.dims()[static_cast<int>(axis)];
  }
  const int64_t count = out.count();
  const bool rows = plan.reduced.rank() == 1 && plan.reduced[0] == x.dims().rank() - 1;
  for (int64_t i = 0; i < count; ++i) {
    const T* from = x.as<T>() + (rows ? i * inner : offset(x.dims(), plan.kept, i));
    T sum = first;
    for (int64_t j = 0; j < inner; ++j) {
      sum = function(sum, rows ? from[j] : from[offset(x.dims(), plan.reduced, j)]);
    }
    out.as<T>()[i] = finish(sum, inner);
  }
}

template <typename F, typename G>
void reduce_numbers(Call& call, double first, const F& function, const G& finish) {
  switch (call.in(0).type()) {
    case Type::kF32:
      return reduce_of<float>(call, static_cast<float>(first), function, finish);
    case Type::kI64:
      return reduce_of<int64_t>(call,
                                first == 0.0 ? 0
                                : first < 0  ? std::numeric_limits<int64_t>::min()
                                             : std::numeric_limits<int64_t>::max(),
                                function,
                                finish);
    default:
      return reduce_of<int32_t>(call,
                                first == 0.0 ? 0
                                : first < 0  ? std::numeric_limits<int32_t>::min()
                                             : std::numeric_limits<int32_t>::max(),
                                function,
                                finish);
  }
}

constexpr double kInfinity = std::numeric_limits<double>::infinity();
const auto kAsItIs = [](auto sum, int64_t) { return sum; };

// Rows along the last axis. work(row, from, to, width)
template <typename F>
void for_rows(Call& call, const F& work) {
  const Tensor& x = call.in(0);
  const int rank = x.dims().rank();
  call.require(rank > 0 && call.axis(call.integer(0), rank) == rank - 1,
               "an axis that is not the last");
  const Tensor out = call.out(0, Type::kF32, x.dims());
  const int64_t width = x.dims().back();
  const int64_t rows = x.dims().product(0, rank - 1);
  for_range(call.workers(), rows, 1 + 16384 / (width + 1), [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row) {
      work(x.floats() + row * width, out.floats() + row * width, width);
    }
  });
}

float largest(const float* from, int64_t width) {
  float most = -std::numeric_limits<float>::infinity();
  for (int64_t i = 0; i < width; ++i) {
    most = from[i] > most ? from[i] : most;
  }
  return most;
}

// Rows of input 0 through a norm, shared out to the workers; `run` lacks rows, x and y.
void normalize(Call& call, const kernels::NormRun& run, void (*norm)(const kernels::NormRun&)) {
  const Tensor& x = call.in(0);
  const Tensor out = call.out(0, Type::kF32, x.dims());
  const int64_t rows = run.width == 0 ? 0 : x.count() / run.width;
  const int64_t grain = 1 + 16384 / (run.width + 1);
  for_range(call.workers(), rows, grain, [&](int64_t first, int64_t last) {
    kernels::NormRun part = run;
    const int64_t at = first * run.width;
    part.rows = last - first;
    part.x = x.floats() + at;
    part.y = out.floats() + at;
    part.residual = run.residual == nullptr ? nullptr : run.residual + at;
    part.sum = run.sum == nullptr ? nullptr : run.sum + at;
    if (part.rows > 0) {
      norm(part);
    }
  });
}

template <typename T>
void arg_max_of(Call& call, bool last) {
  const Tensor& x = call.in(0);
  const int axis = call.axis(call.integer(0), x.dims().rank());
  Dims dims = x.dims();
  const int64_t size = dims[axis];
  call.require(size > 0, "an empty axis");
  const int64_t below = dims.product(axis + 1, dims.rank());
  const int64_t outer = dims.product(0, axis);
  if (call.integer(1) != 0) {
    dims[axis] = 1;
  } else {
    dims.erase(axis);
  }
  const Tensor out = call.out(0, Type::kI64, dims);
  for (int64_t i = 0; i < outer * below; ++i) {
    const T* from = x.as<T>() + i / below * size * below + i % below;
    int64_t best = 0;
    for (int64_t j = 1; j < size; ++j) {
      const T value = from[j * below];
      const T most = from[best * below];
      best = value > most || (last && value == most) ? j : best;
    }
    out.integers()[i] = best;
  }
}

template <typename T>
void cum_sum_of(Call& call, int axis) {
  const Tensor& x = call.in(0);
  const Tensor out = call.out(0, x.type(), x.dims());
  const int64_t size = x.dims()[axis];
  const int64_t below = x.dims().product(axis + 1, x.dims().rank());
  const int64_t outer = x.dims().product(0, axis);
  for (int64_t i = 0; i < outer * below; ++i) {
    const int64_t at = i / below * size * below + i % below;
    T sum{0};
    for (int64_t j = 0; j < size; ++j) {
      sum = static_cast<T>(sum + x.as<T>()[at + j * below]);
      out.as<T>()[at + j * below] = sum;
    }
  }
}

}  // namespace

void arg_max(Call& call) {
  const bool last = call.integer(2) != 0;
  switch (call.in(0).type()) {
    case Type::kF32:
      return arg_max_of<float>(call, last);
    case Type::kI64:
      return arg_max_of<int64_t>(call, last);
    default:
      return arg_max_of<int32_t>(call, last);
  }
}

void cum_sum(Call& call) {
  call.require(call.integer(0) == 0 && call.integer(1) == 0, "exclusive or reverse");
  const Dims axis = call.list(1);
  call.require(axis.rank() == 1, "more than one axis");
  const int at = call.axis(axis[0], call.in(0).dims().rank());
  switch (call.in(0).type()) {
    case Type::kF32:
      return cum_sum_of<float>(call, at);
    case Type::kI64:
      return cum_sum_of<int64_t>(call, at);
    default:
      return cum_sum_of<int32_t>(call, at);
  }
}

// Attributes: axis, epsilon.
void layer_normalization(Call& call) {
  const float epsilon = call.number(1);
  const int64_t width = call.in(0).dims().rank() == 0 ? 0 : call.in(0).dims().back();
  call.require(call.in(1).count() == width && (!call.has(2) || call.in(2).count() == width),
               "a scale or bias that is not of the last dimension");
  call.require(call.axis(call.integer(0), call.in(0).dims().rank()) == call.in(0).dims().rank() - 1,
               "an axis that is not the last");
  kernels::NormRun run;
  run.gamma = call.in(1).floats();
  run.beta = call.has(2) ? call.in(2).floats() : nullptr;
  run.epsilon = epsilon;
  run.width = width;
  normalize(call, run, call.run.kernels->layer_norm);
}

void log_softmax(Call& call) {
  for_rows(call, [](const float* from, float* to, int64_t width) {
    const float most = largest(from, width);
    double sum = 0.0;
    for (int64_t i = 0; i < width; ++i) {
      sum += static_cast<double>(std::exp(from[i] - most));
    }
    const auto log = static_cast<float>(std::log(sum));
    for (int64_t i = 0; i < width; ++i) {
      to[i] = from[i] - most - log;
    }
  });
}

void reduce_max(Call& call) {
  reduce_numbers(call, -kInfinity, [](auto a, auto b) { return a > b ? a : b; }, kAsItIs);
}

void reduce_min(Call& call) {
  reduce_numbers(call, kInfinity, [](auto a, auto b) { return a < b ? a : b; }, kAsItIs);
}

void reduce_sum(Call& call) {
  reduce_numbers(
      call, 0.0, [](auto a, auto b) { return static_cast<decltype(a)>(a + b); }, kAsItIs);
}

void reduce_mean(Call& call) {
  reduce_of<float>(
      call,
      0.0F,
      [](float a, float b) { return a + b; },
      [](float sum, int64_t count) { return sum / static_cast<float>(count); });
}

// onnxruntime/docs/ContribOperators.md: input, skip, gamma -> output, -, -, input + skip.
void skip_rms_norm(Call& call) {
  const Tensor& x = call.in(0);
  const Tensor& skip = call.in(1);
  const int rank = x.dims().rank();
  call.require(rank > 0 && skip.dims() == x.dims(), "an input and a skip of two shapes");
  const int64_t width = x.dims().back();
  call.require(call.in(2).count() == width, "a scale or bias that is not of the last dimension");
  call.require(!call.has(3), "a bias");
  const Tensor sum = call.out(3, Type::kF32, x.dims());
  kernels::NormRun run;
  run.residual = skip.floats();
  run.sum = sum.floats();
  run.gamma = call.in(2).floats();
  run.epsilon = call.number(0);
  run.width = width;
  normalize(call, run, call.run.kernels->rms_norm);
}

void softmax(Call& call) {
  for_rows(call, [&](const float* from, float* to, int64_t width) {
    if (width > 0) {
      call.run.kernels->softmax(from, to, 1, width);
    }
  });
}

}  // namespace lorapress::engine::ops
