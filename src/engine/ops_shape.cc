#include <algorithm>
#include <cstring>

#include "engine/broadcast.h"
#include "engine/ops.h"

namespace lorapress::engine::ops {
namespace {

void copy_bytes(std::byte* to, const std::byte* from, int64_t bytes) {
  std::memcpy(to, from, static_cast<size_t>(bytes));
}

// Axes of a list, sorted; refuses repetitions.
Dims sorted_axes(const Call& call, const Dims& list, int rank) {
  bool named[kMostDims] = {};
  for (const int64_t axis : list) {
    bool& is_named = named[call.axis(axis, rank)];
    call.require(!is_named, "an axis twice");
    is_named = true;
  }
  Dims axes;
  for (int axis = 0; axis < kMostDims; ++axis) {
    if (named[axis]) {
      axes.push_back(axis);
    }
  }
  return axes;
}

template <typename T>
void expand_of(const Tensor& x, const Tensor& out) {
  const Dims* const inputs[1] = {&x.dims()};
  const BroadcastWalk<1> walk(out.dims(), inputs);
  const int64_t step = walk.stride[0][walk.rank - 1];
  walk.rows([&](int64_t at, const int64_t(&from)[1], int64_t count) {
    const T* values = x.as<T>() + from[0];
    for (int64_t i = 0; i < count; ++i) {
      out.as<T>()[at + i] = values[i * step];
    }
  });
}

// Neighbouring axes that stay neighbours are one; the innermost is copied in one piece where it stays.
template <typename T>
void transpose_of(Workers& workers, const Tensor& x, const Tensor& out, const Dims& perm) {
  int rank = 0;
  int64_t size[kMostDims] = {};
  int64_t stride[kMostDims] = {};
  for (int axis = 0; axis < out.dims().rank(); ++axis) {
    const auto from = static_cast<int>(perm[axis]);
    const int64_t step = x.dims().product(from + 1, x.dims().rank());
    if (out.dims()[axis] == 1) {
      continue;
    }
    if (rank > 0 && stride[rank - 1] == step * out.dims()[axis]) {
      size[rank - 1] *= out.dims()[axis];
      stride[rank - 1] = step;
    } else {
      size[rank] = out.dims()[axis];
      stride[rank++] = step;
    }
  }
  if (rank == 0 || out.count() == 0) {
    if (out.count() > 0) {
      *out.as<T>() = *x.as<T>();
    }
    return;
  }
  const int64_t width = size[rank - 1];
  const int64_t step = stride[rank - 1];
  const int64_t lines = out.count() / width;
  for_range(workers, lines, 1 + 8192 / width, [&](int64_t first, int64_t last) {
    for (int64_t line = first; line < last; ++line) {
      int64_t at = 0;
      int64_t rest = line;
      for (int axis = rank - 2; axis >= 0; --axis) {
        at += rest % size[axis] * stride[axis];
        rest /= size[axis];
      }
      const T* from = x.as<T>() + at;
      T* to = out.as<T>() + line * width;
      if (step == 1) {
        std::copy(from, from + width, to);
      } else {
        for (int64_t i = 0; i < width; ++i) {
          to[i] = from[i * step];
        }
      }
    }
  });
}

template <typename T>
void range_of(Call& call) {
  const T start = *call.in(0).as<T>();
  const T limit = *call.in(1).as<T>();
  const T step = *call.in(2).as<T>();
  call.require(step != T{0}, "a step of 0");
  double count = std::max(
      0.0, (static_cast<double>(limit) - static_cast<double>(start)) / static_cast<double>(step));
  call.require(count < 1e9, "more than 1e9 numbers");
  auto whole = static_cast<int64_t>(count);
  whole += static_cast<double>(whole) < count ? 1 : 0;
  const Tensor out = call.out(0, call.in(0).type(), Dims{whole});
  for (int64_t i = 0; i < whole; ++i) {
    out.as<T>()[i] = static_cast<T>(start + static_cast<T>(i) * step);
  }
}

}  // namespace

void concat(Call& call) {
  Dims dims = call.in(0).dims();
  const int axis = call.axis(call.integer(0), dims.rank());
  for (int i = 1; i < call.inputs(); ++i) {
    const Dims& more = call.in(i).dims();
    call.require(more.rank() == dims.rank(), "inputs of several ranks");
    for (int at = 0; at < dims.rank(); ++at) {
      call.require(at == axis || more[at] == dims[at], "inputs whose other dimensions differ");
    }
    dims[axis] += more[axis];
  }
  const Type type = call.in(0).type();
  const Tensor out = call.out(0, type, dims);
  const int64_t outer = dims.product(0, axis);
  const auto unit = static_cast<int64_t>(type_size(type));
  const int64_t row = dims.product(axis, dims.rank()) * unit;
  int64_t at = 0;
  for (int i = 0; i < call.inputs(); ++i) {
    const Tensor& part = call.in(i);
    const int64_t piece = part.dims().product(axis, dims.rank()) * unit;
    for (int64_t line = 0; line < outer; ++line) {
      copy_bytes(out.data() + line * row + at, part.data() + line * piece, piece);
    }
    at += piece;
  }
}

void expand(Call& call) {
  const Tensor& x = call.in(0);
  const Dims dims = broadcast(call, x.dims(), call.list(1));
  if (dims == x.dims()) {
    return call.set(0, x);
  }
  const Tensor out = call.out(0, x.type(), dims);
  switch (type_size(x.type())) {
    case 8:
      return expand_of<int64_t>(x, out);
    case 4:
      return expand_of<int32_t>(x, out);
    default:
      return expand_of<uint8_t>(x, out);
  }
}

void range(Call& call) {
  for (int i = 0; i < 3; ++i) {
    call.require(call.in(i).count() == 1, "an input that is no scalar");
  }
  switch (call.in(0).type()) {
    case Type::kF32:
      return range_of<float>(call);
    case Type::kI64:
      return range_of<int64_t>(call);
    default:
      return range_of<int32_t>(call);
  }
}

// 0 keeps a dimension, -1 is what is left.
void reshape(Call& call) {
  const Tensor& x = call.in(0);
  Dims dims = call.list(1);
  int rest = -1;
  int64_t product = 1;
  for (int axis = 0; axis < dims.rank(); ++axis) {
    if (dims[axis] == 0) {
      call.require(axis < x.dims().rank(), "a dimension to keep that is not there");
      dims[axis] = x.dims()[axis];
    }
    if (dims[axis] == -1) {
      call.require(rest == -1, "two dimensions of -1");
      rest = axis;
    } else {
      call.require(dims[axis] >= 0 && !__builtin_mul_overflow(product, dims[axis], &product),
                   "a shape that no memory holds");
    }
  }
  if (rest != -1) {
    call.require(product != 0 && x.count() % product == 0, "a shape that does not fit");
    dims[rest] = x.count() / product;
  }
  if (dims.count() != x.count()) {
    call.bad(x.dims().text() + " as " + dims.text());
  }
  call.set(0, x.shaped(dims));
}

void shape(Call& call) {
  const Dims& dims = call.in(0).dims();
  const Tensor out = call.out(0, Type::kI64, Dims{dims.rank()});
  std::copy_n(dims.span().begin(), dims.rank(), out.integers());
}

void slice(Call& call) {
  const Tensor& x = call.in(0);
  const Dims starts = call.list(1);
  const Dims ends = call.list(2);
  Dims axes;
  Dims steps;
  for (int i = 0; i < starts.rank(); ++i) {
    axes.push_back(i);
    steps.push_back(1);
  }
  axes = call.has(3) ? call.list(3) : axes;
  steps = call.has(4) ? call.list(4) : steps;
  call.require(
      ends.rank() == starts.rank() && axes.rank() == starts.rank() && steps.rank() == starts.rank(),
      "lists of several lengths");
  sorted_axes(call, axes, x.dims().rank());
  Dims dims = x.dims();
  int64_t first[kMostDims] = {};
  for (int i = 0; i < starts.rank(); ++i) {
    const int axis = call.axis(axes[i], dims.rank());
    const int64_t size = x.dims()[axis];
    call.require(steps[i] == 1, "steps other than 1");
    const auto clamped = [size](int64_t at) {
      return std::clamp<int64_t>(at < 0 ? at + size : at, 0, size);
    };
    first[axis] = clamped(starts[i]);
    dims[axis] = std::max<int64_t>(0, clamped(ends[i]) - first[axis]);
  }
  if (dims == x.dims()) {
    return call.set(0, x);
  }
  const Tensor out = call.out(0, x.type(), dims);
  int inner = dims.rank();  // axes inner ... are whole
  while (inner > 0 && dims[inner - 1] == x.dims()[inner - 1]) {
    --inner;
  }
  const auto unit = static_cast<int64_t>(type_size(x.type()));
  const int cut = inner - 1;
  const int64_t piece = dims.product(cut, dims.rank()) * unit;
  const int64_t below = x.dims().product(inner, dims.rank()) * unit;
  const int64_t lines = dims.product(0, cut);
  for (int64_t line = 0; line < lines && piece > 0; ++line) {
    int64_t from = first[cut] * below;
    int64_t rest = line;
    int64_t step = x.dims()[cut] * below;
    for (int axis = cut - 1; axis >= 0; --axis) {
      from += (first[axis] + rest % dims[axis]) * step;
      rest /= dims[axis];
      step *= x.dims()[axis];
    }
    copy_bytes(out.data() + line * piece, x.data() + from, piece);
  }
}

void split(Call& call) {
  const Tensor& x = call.in(0);
  const int axis = call.axis(call.integer(0), x.dims().rank());
  const std::span<const int64_t> sizes(call.in(1).integers(),
                                       static_cast<size_t>(call.in(1).count()));
  int64_t sum = 0;
  for (const int64_t size : sizes) {
    call.require(size >= 0 && size <= x.dims()[axis] - sum, "a part that does not fit");
    sum += size;
  }
  call.require(sizes.size() == call.node.outputs.size() && sum == x.dims()[axis],
               "parts that do not make up the input");
  const auto unit = static_cast<int64_t>(type_size(x.type()));
  const int64_t outer = x.dims().product(0, axis);
  const int64_t row = x.dims().product(axis, x.dims().rank()) * unit;
  int64_t at = 0;
  for (size_t i = 0; i < sizes.size(); ++i) {
    Dims dims = x.dims();
    dims[axis] = sizes[i];
    const int64_t piece = dims.product(axis, dims.rank()) * unit;
    if (call.wants(static_cast<int>(i))) {
      const Tensor out = call.out(static_cast<int>(i), x.type(), dims);
      for (int64_t line = 0; line < outer; ++line) {
        copy_bytes(out.data() + line * piece, x.data() + line * row + at, piece);
      }
    }
    at += piece;
  }
}

void squeeze(Call& call) {
  const Tensor& x = call.in(0);
  Dims dims = x.dims();
  Dims list;
  if (call.has(1)) {
    list = call.list(1);
  } else {
    for (int axis = 0; axis < dims.rank(); ++axis) {
      if (dims[axis] == 1) {
        list.push_back(axis);
      }
    }
  }
  const Dims axes = sorted_axes(call, list, dims.rank());
  for (int i = axes.rank() - 1; i >= 0; --i) {
    const auto axis = static_cast<int>(axes[i]);
    call.require(dims[axis] == 1, "a dimension that is not 1");
    dims.erase(axis);
  }
  call.set(0, x.shaped(dims));
}

void transpose(Call& call) {
  const Tensor& x = call.in(0);
  const int rank = x.dims().rank();
  Dims perm(call.attribute(0).integers);
  if (!call.attribute(0).given) {
    for (int axis = rank - 1; axis >= 0; --axis) {
      perm.push_back(axis);
    }
  }
  call.require(perm.rank() == rank, "a perm that is not of the input's rank");
  sorted_axes(call, perm, rank);
  Dims dims;
  for (const int64_t axis : perm) {
    call.require(axis >= 0, "a negative axis");
    dims.push_back(x.dims()[static_cast<int>(axis)]);
  }
  const Tensor out = call.out(0, x.type(), dims);
  switch (type_size(x.type())) {
    case 8:
      return transpose_of<int64_t>(call.workers(), x, out, perm);
    case 4:
      return transpose_of<int32_t>(call.workers(), x, out, perm);
    default:
      return transpose_of<uint8_t>(call.workers(), x, out, perm);
  }
}

void unsqueeze(Call& call) {
  const Tensor& x = call.in(0);
  Dims dims = x.dims();
  const Dims list = call.list(1);
  call.require(dims.rank() + list.rank() <= kMostDims, "a result of more than 8 dimensions");
  for (const int64_t axis : sorted_axes(call, list, dims.rank() + list.rank())) {
    dims.insert(static_cast<int>(axis), 1);
  }
  call.set(0, x.shaped(dims));
}

}  // namespace lorapress::engine::ops
