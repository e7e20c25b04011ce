// Numpy's broadcasting, https://github.com/onnx/onnx/blob/main/docs/Broadcasting.md
#ifndef LORAPRESS_ENGINE_BROADCAST_H_
#define LORAPRESS_ENGINE_BROADCAST_H_

#include <algorithm>

#include "engine/op.h"

namespace lorapress::engine {

inline Dims broadcast(const Call& call, const Dims& a, const Dims& b) {
  Dims out;
  const int rank = std::max(a.rank(), b.rank());
  for (int i = 0; i < rank; ++i) {
    const int at_a = i - (rank - a.rank());
    const int at_b = i - (rank - b.rank());
    const int64_t left = at_a < 0 ? 1 : a[at_a];
    const int64_t right = at_b < 0 ? 1 : b[at_b];
    if (left != right && left != 1 && right != 1) {
      call.bad("dimensions " + a.text() + " and " + b.text() + " do not broadcast");
    }
    out.push_back(left == 1 ? right : left);
  }
  return out;
}

// Walks an output of N inputs row by row: neighbouring dimensions that every input walks alike are one.
template <int N>
struct BroadcastWalk {
  int rank = 0;  // of what is left
  int64_t size[kMostDims] = {};
  int64_t stride[N][kMostDims] = {};

  BroadcastWalk(const Dims& out, const Dims* const (&inputs)[N]) {
    for (int axis = 0; axis < out.rank(); ++axis) {
      if (out[axis] == 1) {
        continue;
      }
      int64_t step[N];
      for (int n = 0; n < N; ++n) {
        const Dims& dims = *inputs[n];
        const int at = axis - (out.rank() - dims.rank());
        step[n] = at < 0 || dims[at] == 1 ? 0 : dims.product(at + 1, dims.rank());
      }
      bool joins = rank > 0;
      for (int n = 0; joins && n < N; ++n) {
        joins = stride[n][rank - 1] == step[n] * out[axis];
      }
      if (!joins) {
        size[rank++] = 1;
      }
      size[rank - 1] *= out[axis];
      for (int n = 0; n < N; ++n) {
        stride[n][rank - 1] = step[n];
      }
    }
    if (rank == 0) {
      size[rank++] = 1;
    }
  }

  // work(offset in the output, offsets in the inputs, count): the innermost dimension, whose steps are
  // stride[n][rank - 1].
  template <typename F>
  void rows(F&& work) const {
    int64_t index[kMostDims] = {};
    int64_t at[N] = {};
    int64_t out = 0;
    const int64_t width = size[rank - 1];
    for (int axis = 0; axis < rank; ++axis) {
      if (size[axis] == 0) {
        return;
      }
    }
    while (true) {
      work(out, at, width);
      out += width;
      int axis = rank - 2;
      for (; axis >= 0; --axis) {
        for (int n = 0; n < N; ++n) {
          at[n] += stride[n][axis];
        }
        if (++index[axis] < size[axis]) {
          break;
        }
        for (int n = 0; n < N; ++n) {
          at[n] -= stride[n][axis] * size[axis];
        }
        index[axis] = 0;
      }
      if (axis < 0) {
        return;
      }
    }
  }
};

}  // namespace lorapress::engine

#endif  // LORAPRESS_ENGINE_BROADCAST_H_
