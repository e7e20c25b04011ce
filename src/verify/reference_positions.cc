// torch's two bicubic resizers: Keys' cubic with A = -0.75 at the four nearest positions, clamped to
// the edge; and with antialias Pillow's: A = -0.5, the kernel as wide as the reduction, its weights
// over their sum.
#include "verify/reference_positions.h"

#include <cmath>

namespace lorapress::reference {
namespace {

double keys(double distance, double a) {
  const double d = std::fabs(distance);
  if (d >= 2.0) {
    return 0.0;
  }
  const double d2 = d * d;
  const double d3 = d2 * d;
  return d < 1.0 ? (a + 2.0) * d3 - (a + 3.0) * d2 + 1.0
                 : a * d3 - 5.0 * a * d2 + 8.0 * a * d - 4.0 * a;
}

// A dense [to, from] matrix.
std::vector<double> resize_matrix(int64_t from, int64_t to, bool antialias) {
  std::vector<double> matrix(static_cast<size_t>(from * to));
  const double ratio = static_cast<double>(from) / static_cast<double>(to);
  const double width = antialias && ratio > 1.0 ? ratio : 1.0;
  for (int64_t out = 0; out < to; ++out) {
    double* row = matrix.data() + out * from;
    const double place = (static_cast<double>(out) + 0.5) * ratio - 0.5;
    double sum = 0.0;
    const int64_t reach = static_cast<int64_t>(std::ceil(2.0 * width)) + 1;
    const auto middle = static_cast<int64_t>(std::floor(place));
    for (int64_t in = middle - reach; in <= middle + reach; ++in) {
      const bool inside = in >= 0 && in < from;
      if (antialias && !inside) {
        continue;
      }
      const double weight =
          keys((static_cast<double>(in) - place) / width, antialias ? -0.5 : -0.75);
      row[inside ? in : (in < 0 ? 0 : from - 1)] += weight;
      sum += weight;
    }
    for (int64_t in = 0; antialias && in < from; ++in) {
      row[in] /= sum;
    }
  }
  return matrix;
}

}  // namespace

template <typename T>
std::vector<T> resized_positions(
    const std::vector<T>& values, int64_t from, int64_t to, int64_t hidden, bool antialias) {
  const std::vector<double> matrix = resize_matrix(from, to, antialias);
  std::vector<T> resized(values.begin(), values.begin() + hidden);
  resized.resize(static_cast<size_t>((1 + to * to) * hidden));
  std::vector<double> columns(static_cast<size_t>(from * to * hidden));  // [from rows, to, hidden]
  const T* grid = values.data() + hidden;
  for (int64_t y = 0; y < from; ++y) {
    for (int64_t x = 0; x < to; ++x) {
      for (int64_t k = 0; k < from; ++k) {
        const double weight = matrix[static_cast<size_t>(x * from + k)];
        for (int64_t i = 0; i < hidden; ++i) {
          columns[static_cast<size_t>((y * to + x) * hidden + i)] +=
              weight * static_cast<double>(grid[(y * from + k) * hidden + i]);
        }
      }
    }
  }
  for (int64_t y = 0; y < to; ++y) {
    for (int64_t at = 0; at < to * hidden; ++at) {
      double sum = 0.0;
      for (int64_t k = 0; k < from; ++k) {
        sum += matrix[static_cast<size_t>(y * from + k)] *
               columns[static_cast<size_t>(k * to * hidden + at)];
      }
      resized[static_cast<size_t>((1 + y * to) * hidden + at)] = static_cast<T>(sum);
    }
  }
  return resized;
}

template std::vector<float> resized_positions(
    const std::vector<float>&, int64_t, int64_t, int64_t, bool);
template std::vector<double> resized_positions(
    const std::vector<double>&, int64_t, int64_t, int64_t, bool);

}  // namespace lorapress::reference
