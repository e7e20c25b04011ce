#include <cmath>
#include <type_traits>

#include "engine/broadcast.h"
#include "engine/ops.h"

namespace lorapress::engine::ops {
namespace {

template <typename T, typename R, typename F>
void binary_of(Call& call, Type result, const F& function) {
  const Tensor& a = call.in(0);
  const Tensor& b = call.in(1);
  const Dims dims = broadcast(call, a.dims(), b.dims());
  const Tensor out = call.out(0, result, dims);
  const T* left = a.as<T>();
  const T* right = b.as<T>();
  R* to = out.as<R>();
  const Dims* const inputs[2] = {&a.dims(), &b.dims()};
  const BroadcastWalk<2> walk(dims, inputs);
  const int64_t step_a = walk.stride[0][walk.rank - 1];
  const int64_t step_b = walk.stride[1][walk.rank - 1];
  const auto row = [&](int64_t at, const int64_t(&from)[2], int64_t count) {
    const T* x = left + from[0];
    const T* y = right + from[1];
    R* z = to + at;
    if (step_a == 1 && step_b == 1) {
      for (int64_t i = 0; i < count; ++i) {
        z[i] = static_cast<R>(function(x[i], y[i]));
      }
    } else if (step_a == 1 && step_b == 0) {
      const T second = *y;
      for (int64_t i = 0; i < count; ++i) {
        z[i] = static_cast<R>(function(x[i], second));
      }
    } else if (step_a == 0 && step_b == 1) {
      const T first = *x;
      for (int64_t i = 0; i < count; ++i) {
        z[i] = static_cast<R>(function(first, y[i]));
      }
    } else {
      for (int64_t i = 0; i < count; ++i) {
        z[i] = static_cast<R>(function(x[i * step_a], y[i * step_b]));
      }
    }
  };
  if (walk.rank == 1 && walk.size[0] > 65536) {  // one row: threads take parts of it
    for_range(call.workers(), walk.size[0], 32768, [&](int64_t first, int64_t last) {
      const int64_t from[2] = {first * step_a, first * step_b};
      row(first, from, last - first);
    });
  } else {
    walk.rows(row);
  }
}

template <typename F>
void arithmetic(Call& call, const F& function) {
  switch (call.in(0).type()) {
    case Type::kF32:
      return binary_of<float, float>(call, Type::kF32, function);
    case Type::kI64:
      return binary_of<int64_t, int64_t>(call, Type::kI64, function);
    default:
      return binary_of<int32_t, int32_t>(call, Type::kI32, function);
  }
}

template <typename F>
void comparison(Call& call, const F& function) {
  switch (call.in(0).type()) {
    case Type::kF32:
      return binary_of<float, bool>(call, Type::kBool, function);
    case Type::kI64:
      return binary_of<int64_t, bool>(call, Type::kBool, function);
    case Type::kI32:
      return binary_of<int32_t, bool>(call, Type::kBool, function);
    default:
      return binary_of<uint8_t, bool>(call, Type::kBool, function);
  }
}

// Integers wrap, as numpy's do.
template <typename T, typename F>
T wrapping(T a, T b, const F& function) {
  if constexpr (std::is_floating_point_v<T>) {
    return function(a, b);
  } else {
    using U = std::make_unsigned_t<T>;
    return static_cast<T>(function(static_cast<U>(a), static_cast<U>(b)));
  }
}

template <typename T>
void three_way(
    Call& call, const Tensor& condition, const Tensor& a, const Tensor& b, const Dims& dims) {
  const Tensor out = call.out(0, a.type(), dims);
  const Dims* const inputs[3] = {&condition.dims(), &a.dims(), &b.dims()};
  const BroadcastWalk<3> walk(dims, inputs);
  const int last = walk.rank - 1;
  const bool* flags = condition.as<bool>();
  const T* left = a.as<T>();
  const T* right = b.as<T>();
  T* to = out.as<T>();
  walk.rows([&](int64_t at, const int64_t(&from)[3], int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
      to[at + i] = flags[from[0] + i * walk.stride[0][last]]
                       ? left[from[1] + i * walk.stride[1][last]]
                       : right[from[2] + i * walk.stride[2][last]];
    }
  });
}

template <typename T>
bool has_zero(const Tensor& tensor) {
  const T* values = tensor.as<T>();
  return std::find(values, values + tensor.count(), T{0}) != values + tensor.count();
}

void require_divisor(const Call& call) {
  const Tensor& divisor = call.in(1);
  call.require(!(divisor.type() == Type::kI64 && has_zero<int64_t>(divisor)) &&
                   !(divisor.type() == Type::kI32 && has_zero<int32_t>(divisor)),
               "a division by zero");
}

}  // namespace

void add(Call& call) {
  arithmetic(call,
             [](auto a, auto b) { return wrapping(a, b, [](auto x, auto y) { return x + y; }); });
}

void sub(Call& call) {
  arithmetic(call,
             [](auto a, auto b) { return wrapping(a, b, [](auto x, auto y) { return x - y; }); });
}

void mul(Call& call) {
  arithmetic(call,
             [](auto a, auto b) { return wrapping(a, b, [](auto x, auto y) { return x * y; }); });
}

void div(Call& call) {
  require_divisor(call);
  arithmetic(call, [](auto a, auto b) {
    using T = decltype(a);
    if constexpr (std::is_floating_point_v<T>) {
      return a / b;
    } else {
      return b == -1 ? wrapping(T{0}, a, [](auto x, auto y) { return x - y; })
                     : static_cast<T>(a / b);
    }
  });
}

// fmod 0: the sign of the divisor, integers alone; fmod 1: that of the dividend.
void mod(Call& call) {
  const bool c_like = call.integer(0) != 0;
  require_divisor(call);
  call.require(c_like || call.in(0).type() != Type::kF32, "fmod 0 of floats");
  arithmetic(call, [c_like](auto a, auto b) {
    using T = decltype(a);
    if constexpr (std::is_floating_point_v<T>) {
      return std::fmod(a, b);
    } else {
      const T rest = b == -1 ? T{0} : static_cast<T>(a % b);
      return c_like || rest == 0 || (rest < 0) == (b < 0) ? rest : static_cast<T>(rest + b);
    }
  });
}

void max(Call& call) {
  arithmetic(call, [](auto a, auto b) { return a != a || a > b ? a : b; });
}

void min(Call& call) {
  arithmetic(call, [](auto a, auto b) { return a != a || a < b ? a : b; });
}

void pow(Call& call) {
  const Tensor& power = call.in(1);
  if (power.count() == 1 && *power.floats() == 2.0F) {
    return binary_of<float, float>(call, Type::kF32, [](float x, float) { return x * x; });
  }
  if (power.count() == 1 && *power.floats() == 3.0F) {
    return binary_of<float, float>(call, Type::kF32, [](float x, float) { return x * x * x; });
  }
  binary_of<float, float>(call, Type::kF32, [](float x, float y) { return std::pow(x, y); });
}

void equal(Call& call) {
  comparison(call, [](auto a, auto b) { return a == b; });
}

void greater(Call& call) {
  comparison(call, [](auto a, auto b) { return a > b; });
}

void less(Call& call) {
  comparison(call, [](auto a, auto b) { return a < b; });
}

void less_or_equal(Call& call) {
  comparison(call, [](auto a, auto b) { return a <= b; });
}

void logical_and(Call& call) {
  binary_of<bool, bool>(call, Type::kBool, [](bool a, bool b) { return a && b; });
}

void logical_or(Call& call) {
  binary_of<bool, bool>(call, Type::kBool, [](bool a, bool b) { return a || b; });
}

void where(Call& call) {
  const Tensor& a = call.in(1);
  const Tensor& b = call.in(2);
  call.require(a.type() == b.type(), "branches of two types");
  const Dims dims = broadcast(call, call.in(0).dims(), broadcast(call, a.dims(), b.dims()));
  switch (type_size(a.type())) {
    case 8:
      three_way<int64_t>(call, call.in(0), a, b, dims);
      return;
    case 4:
      three_way<int32_t>(call, call.in(0), a, b, dims);
      return;
    default:
      three_way<uint8_t>(call, call.in(0), a, b, dims);
  }
}

}  // namespace lorapress::engine::ops
