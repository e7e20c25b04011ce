#include <algorithm>
#include <cstring>
#include <numeric>

#include "engine/ops.h"

namespace lorapress::engine::ops {
namespace {

// Index `at` of a list of int64 or int32.
int64_t index_at(const Tensor& indices, int64_t at) {
  return indices.type() == Type::kI64 ? indices.integers()[at] : indices.as<int32_t>()[at];
}

int64_t wrapped(const Call& call, int64_t index, int64_t size) {
  const int64_t at = index < 0 ? index + size : index;
  if (at < 0 || at >= size) {
    call.bad("index " + std::to_string(index) + " of " + std::to_string(size));
  }
  return at;
}

template <typename T>
void non_zero_of(Call& call) {
  const Tensor& x = call.in(0);
  const T* values = x.as<T>();
  int64_t found = 0;
  for (int64_t i = 0; i < x.count(); ++i) {
    found += values[i] != T{0} ? 1 : 0;
  }
  const Tensor out = call.out(0, Type::kI64, Dims{x.dims().rank(), found});
  int64_t column = 0;
  for (int64_t i = 0; i < x.count(); ++i) {
    if (values[i] == T{0}) {
      continue;
    }
    int64_t rest = i;
    for (int axis = x.dims().rank() - 1; axis >= 0; --axis) {
      out.integers()[axis * found + column] = rest % x.dims()[axis];
      rest /= x.dims()[axis];
    }
    ++column;
  }
}

// Visits the elements of `indices`, of the rank of x: work(index of the element, offset in x of the one that it names).
template <typename F>
void for_each_named(const Call& call, const Dims& x, const Tensor& indices, const F& work) {
  const Dims& dims = indices.dims();
  const int axis = call.axis(call.integer(0), x.rank());
  call.require(dims.rank() == x.rank(), "indices of another rank");
  int64_t stride[kMostDims] = {};
  int64_t place[kMostDims] = {};
  for (int i = 0; i < x.rank(); ++i) {
    call.require(i == axis || dims[i] <= x[i], "indices of another shape");
    stride[i] = x.product(i + 1, x.rank());
  }
  const int64_t count = indices.count();
  int64_t outside = 0;  // the offset of the element's place on all other axes
  for (int64_t i = 0; i < count; ++i) {
    work(i, outside + wrapped(call, index_at(indices, i), x[axis]) * stride[axis]);
    for (int at = x.rank() - 1; at >= 0; --at) {
      const int64_t step = at == axis ? 0 : stride[at];
      outside += step;
      if (++place[at] < dims[at]) {
        break;
      }
      outside -= step * dims[at];
      place[at] = 0;
    }
  }
}

template <typename T>
void top_k_of(Call& call) {
  const Tensor& x = call.in(0);
  const int64_t k = *call.in(1).integers();
  const int64_t width = x.dims().back();
  call.require(k >= 0 && k <= width, "more than there are");
  Dims dims = x.dims();
  dims[dims.rank() - 1] = k;
  const Tensor values = call.out(0, x.type(), dims);
  const Tensor places = call.out(1, Type::kI64, dims);
  std::vector<int64_t> order(static_cast<size_t>(width));
  for (int64_t row = 0; row < x.dims().product(0, dims.rank() - 1); ++row) {
    const T* from = x.as<T>() + row * width;
    std::iota(order.begin(), order.end(), 0);
    std::partial_sort(order.begin(), order.begin() + k, order.end(), [from](int64_t a, int64_t b) {
      return from[a] > from[b] || (from[a] == from[b] && a < b);
    });
    for (int64_t i = 0; i < k; ++i) {
      places.integers()[row * k + i] = order[static_cast<size_t>(i)];
      values.as<T>()[row * k + i] = from[order[static_cast<size_t>(i)]];
    }
  }
}

}  // namespace

void gather_elements(Call& call) {
  const Tensor& x = call.in(0);
  const Tensor out = call.out(0, x.type(), call.in(1).dims());
  const size_t size = type_size(x.type());
  for_each_named(call, x.dims(), call.in(1), [&](int64_t i, int64_t at) {
    std::memcpy(out.data() + static_cast<size_t>(i) * size,
                x.data() + static_cast<size_t>(at) * size,
                size);
  });
}

// Of two updates of one element the last stays.
void scatter_elements(Call& call) {
  const Tensor& x = call.in(0);
  const Tensor& updates = call.in(2);
  call.require(updates.type() == x.type() && updates.dims() == call.in(1).dims(),
               "updates of another type or shape");
  const Tensor out = call.out(0, x.type(), x.dims());
  std::memcpy(out.data(), x.data(), x.bytes());
  const size_t size = type_size(x.type());
  for_each_named(call, x.dims(), call.in(1), [&](int64_t i, int64_t at) {
    std::memcpy(out.data() + static_cast<size_t>(at) * size,
                updates.data() + static_cast<size_t>(i) * size,
                size);
  });
}

void gather(Call& call) {
  const Tensor& x = call.in(0);
  const Tensor& indices = call.in(1);
  const int axis = call.axis(call.integer(0), x.dims().rank());
  Dims dims;
  for (int i = 0; i < axis; ++i) {
    dims.push_back(x.dims()[i]);
  }
  for (const int64_t size : indices.dims().span()) {
    dims.push_back(size);
  }
  for (int i = axis + 1; i < x.dims().rank(); ++i) {
    dims.push_back(x.dims()[i]);
  }
  const Tensor out = call.out(0, x.type(), dims);
  const int64_t outer = x.dims().product(0, axis);
  const int64_t size = x.dims()[axis];
  const size_t piece =
      static_cast<size_t>(x.dims().product(axis + 1, x.dims().rank())) * type_size(x.type());
  const int64_t count = indices.count();
  for (int64_t i = 0; i < count; ++i) {
    const auto from = static_cast<size_t>(wrapped(call, index_at(indices, i), size));
    for (int64_t line = 0; line < outer; ++line) {
      std::byte* to = out.data() + static_cast<size_t>(line * count + i) * piece;
      const std::byte* source =
          x.data() + (static_cast<size_t>(line) * static_cast<size_t>(size) + from) * piece;
      if (piece == 1) {
        *to = *source;
      } else {
        std::memcpy(to, source, piece);
      }
    }
  }
}

// indices [batch..., k..., n]: each row of n numbers is an index into x behind the batch dimensions.
void gather_nd(Call& call) {
  const Tensor& x = call.in(0);
  const Tensor& indices = call.in(1);
  const int64_t batches = call.integer(0);
  const int rank = indices.dims().rank();
  call.require(rank > 0 && batches >= 0 && batches < rank, "indices without a last dimension");
  const auto batch = static_cast<int>(batches);
  const int64_t width = indices.dims()[rank - 1];
  call.require(width >= 1 && batches + width <= x.dims().rank(), "indices of too many dimensions");
  const int inner = batch + static_cast<int>(width);
  Dims dims;
  for (int axis = 0; axis < rank - 1; ++axis) {
    call.require(axis >= batch || indices.dims()[axis] == x.dims()[axis], "batches that differ");
    dims.push_back(indices.dims()[axis]);
  }
  for (int axis = inner; axis < x.dims().rank(); ++axis) {
    dims.push_back(x.dims()[axis]);
  }
  const Tensor out = call.out(0, x.type(), dims);
  const int64_t outer = x.dims().product(0, batch);
  const int64_t rows = indices.dims().product(batch, rank - 1);
  const int64_t below = x.dims().product(batch, x.dims().rank());
  const size_t piece =
      static_cast<size_t>(x.dims().product(inner, x.dims().rank())) * type_size(x.type());
  for (int64_t line = 0; line < outer * rows; ++line) {
    int64_t at = 0;
    for (int64_t i = 0; i < width; ++i) {
      const int64_t size = x.dims()[batch + static_cast<int>(i)];
      at = at * size + wrapped(call, index_at(indices, line * width + i), size);
    }
    const auto from = static_cast<size_t>(line / rows * below) * type_size(x.type()) +
                      static_cast<size_t>(at) * piece;
    std::memcpy(out.data() + static_cast<size_t>(line) * piece, x.data() + from, piece);
  }
}

void non_zero(Call& call) {
  switch (type_size(call.in(0).type())) {
    case 8:
      return non_zero_of<int64_t>(call);
    case 4:
      return call.in(0).type() == Type::kF32 ? non_zero_of<float>(call)
                                             : non_zero_of<int32_t>(call);
    default:
      return non_zero_of<uint8_t>(call);
  }
}

// The largest k of the last axis, in their order; of equal ones the first.
void top_k(Call& call) {
  const Tensor& x = call.in(0);
  const int rank = x.dims().rank();
  call.require(call.in(1).count() == 1 && call.axis(call.integer(0), rank) == rank - 1,
               "an axis that is not the last");
  call.require(call.integer(1) == 1 && call.integer(2) == 1, "other than the largest, sorted");
  x.type() == Type::kF32 ? top_k_of<float>(call) : top_k_of<int64_t>(call);
}

}  // namespace lorapress::engine::ops
