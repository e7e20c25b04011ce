#include <cmath>
#include <limits>
#include <type_traits>

#include "engine/ops.h"

namespace lorapress::engine::ops {
namespace {

constexpr int64_t kGrain = 16384;  // elements that are worth a thread

template <typename T, typename R, typename F>
void unary_of(Call& call, Type result, const F& function) {
  const Tensor& x = call.in(0);
  const Tensor out = call.out(0, result, x.dims());
  const T* from = x.as<T>();
  R* to = out.as<R>();
  for_range(call.workers(), x.count(), kGrain, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      to[i] = static_cast<R>(function(from[i]));
    }
  });
}

template <typename F>
void floats(Call& call, const F& function) {
  unary_of<float, float>(call, Type::kF32, function);
}

// REQUIRES: T is a type of the table.
template <typename T>
void cast_from(Call& call, Type to) {
  const auto plain = [](auto type) {
    using R = decltype(type);
    return [](T x) {
      if constexpr (std::is_floating_point_v<T> && std::is_integral_v<R>) {
        // Beyond the range of R, C++ has no value; the processors' is the smallest one.
        constexpr float edge = sizeof(R) == 8 ? 0x1p63F : 0x1p31F;
        return x >= -edge && x < edge ? static_cast<R>(x) : std::numeric_limits<R>::min();
      } else {
        return static_cast<R>(x);
      }
    };
  };
  switch (to) {
    case Type::kF32:
      return unary_of<T, float>(call, to, plain(float{}));
    case Type::kI64:
      return unary_of<T, int64_t>(call, to, plain(int64_t{}));
    case Type::kI32:
      return unary_of<T, int32_t>(call, to, plain(int32_t{}));
    case Type::kI8:
      return unary_of<T, int8_t>(
          call, to, [&](T x) { return static_cast<int8_t>(plain(int32_t{})(x)); });
    case Type::kU8:
      return unary_of<T, uint8_t>(
          call, to, [&](T x) { return static_cast<uint8_t>(plain(int32_t{})(x)); });
    case Type::kBool:
      return unary_of<T, bool>(call, to, [](T x) { return x != T{0}; });
  }
}

void activate(Call& call, kernels::Activation activation) {
  const Tensor& x = call.in(0);
  const Tensor out = call.out(0, Type::kF32, x.dims());
  for_range(call.workers(), x.count(), 4096, [&](int64_t first, int64_t last) {
    call.run.kernels->activate(activation, x.floats() + first, out.floats() + first, last - first);
  });
}

float sigmoid_of(float x) {
  return 1.0F / (1.0F + std::exp(-x));
}

// The float of attribute-like input `index`, or `fallback`.
float bound(const Call& call, int index, float fallback) {
  if (!call.has(index)) {
    return fallback;
  }
  call.require(call.in(index).count() == 1, "a bound that is no scalar");
  return *call.in(index).floats();
}

}  // namespace

void abs(Call& call) {
  switch (call.in(0).type()) {
    case Type::kF32:
      return floats(call, [](float x) { return std::fabs(x); });
    case Type::kI64:
      return unary_of<int64_t, int64_t>(call, Type::kI64, [](int64_t x) {
        return x < 0 ? static_cast<int64_t>(0 - static_cast<uint64_t>(x)) : x;
      });
    default:
      return unary_of<int32_t, int32_t>(call, Type::kI32, [](int32_t x) {
        return x < 0 ? static_cast<int32_t>(0 - static_cast<uint32_t>(x)) : x;
      });
  }
}

// The types of "to" are those of the table (plan.cc checks it); float16 is float32 here.
void cast(Call& call) {
  const auto to = static_cast<Type>(call.integer(0));
  const Tensor& x = call.in(0);
  if (x.type() == to) {
    return call.set(0, x);
  }
  switch (x.type()) {
    case Type::kF32:
      return cast_from<float>(call, to);
    case Type::kI64:
      return cast_from<int64_t>(call, to);
    case Type::kI32:
      return cast_from<int32_t>(call, to);
    case Type::kI8:
      return cast_from<int8_t>(call, to);
    case Type::kU8:
      return cast_from<uint8_t>(call, to);
    case Type::kBool:
      return cast_from<bool>(call, to);
  }
}

void clip(Call& call) {
  const float low = bound(call, 1, std::numeric_limits<float>::lowest());
  const float high = bound(call, 2, std::numeric_limits<float>::max());
  floats(call, [low, high](float x) { return x < low ? low : x > high ? high : x; });
}

void cos(Call& call) {
  floats(call, [](float x) { return std::cos(x); });
}

void erf(Call& call) {
  floats(call, [](float x) { return std::erf(x); });
}

//  0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))
void fast_gelu(Call& call) {
  activate(call, kernels::Activation::kGeluTanh);
}

void floor(Call& call) {
  floats(call, [](float x) { return std::floor(x); });
}

void gelu(Call& call) {
  activate(call, kernels::Activation::kGeluErf);
}

void logical_not(Call& call) {
  unary_of<bool, bool>(call, Type::kBool, [](bool x) { return !x; });
}

void quick_gelu(Call& call) {
  const float alpha = call.number(0);
  if (alpha == 1.0F || alpha == 1.702F) {
    return activate(call,
                    alpha == 1.0F ? kernels::Activation::kSilu : kernels::Activation::kQuickGelu);
  }
  floats(call, [alpha](float x) { return x * sigmoid_of(alpha * x); });
}

void relu(Call& call) {
  floats(call, [](float x) { return x < 0.0F ? 0.0F : x; });
}

void sigmoid(Call& call) {
  activate(call, kernels::Activation::kSigmoid);
}

void sin(Call& call) {
  floats(call, [](float x) { return std::sin(x); });
}

void sqrt(Call& call) {
  floats(call, [](float x) { return std::sqrt(x); });
}

void tanh(Call& call) {
  activate(call, kernels::Activation::kTanh);
}

}  // namespace lorapress::engine::ops
