#include "quant/weight_scan.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <memory>
#include <mutex>

#include "base/buffer.h"
#include "base/fail.h"
#include "base/simd.h"
#include "base/threads.h"
#include "weights/float_rows.h"

namespace lorapress {
namespace {

constexpr size_t kStripeValues = size_t{256} << 10;  // read by one task, 1 MiB

// The bits of |value|. As signed integers they order like the magnitudes, infinities above all
// numbers and NaN above infinities.
inline int32_t magnitude_bits(float value) {
  return static_cast<int32_t>(std::bit_cast<uint32_t>(value) & 0x7fffffffU);
}

LORAPRESS_SIMD int32_t largest(const float* values, size_t count) {
  int32_t most = 0;
  for (size_t i = 0; i < count; ++i) {
    const int32_t bits = magnitude_bits(values[i]);
    most = bits > most ? bits : most;
  }
  return most;
}

LORAPRESS_SIMD void raise_maxima(const float* values, int32_t* most, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    const int32_t bits = magnitude_bits(values[i]);
    most[i] = bits > most[i] ? bits : most[i];
  }
}

// A request in the orientation whose rows are cheap to read, cut into stripes of rows.
// Channels::kAll is scanned row by row.
struct Scan {
  WeightPtr weight;
  bool is_transposed;
  bool by_columns;
  int64_t stripe;  // rows
  std::vector<int32_t> most;
  std::mutex mutex;

  explicit Scan(const ScanRequest& request)
      : weight(request.weight),
        is_transposed(!weight->row_wise() && weight->shape().size() == 2),
        by_columns(request.channels == (is_transposed ? Channels::kRows : Channels::kColumns)) {
    if (is_transposed) {
      weight = transpose(weight);
    }
    const auto values =
        static_cast<int64_t>(weight->row_wise() ? kStripeValues : kStripeValues * 8);
    stripe = std::max<int64_t>(1, values / std::max<int64_t>(weight->cols(), 1));
    most.resize(static_cast<size_t>(by_columns ? weight->cols() : weight->rows()));
  }

  void read(int64_t row, Buffer<float>& buffer) {
    const Block block{row, std::min(stripe, weight->rows() - row), 0, weight->cols()};
    const auto width = static_cast<size_t>(block.cols);
    std::vector<int32_t> mine(by_columns ? most.size() : 0);
    for_float_rows(*weight, block, buffer, [&](int64_t first, const FloatRows& rows) {
      for (int64_t i = 0; i < rows.rows; ++i) {
        const float* values = rows.data + i * rows.pitch;
        if (by_columns) {
          raise_maxima(values, mine.data(), width);
        } else {
          most[static_cast<size_t>(row + first + i)] = largest(values, width);
        }
      }
    });
    if (by_columns) {
      const std::lock_guard lock(mutex);
      std::ranges::transform(
          most, mine, most.begin(), [](int32_t a, int32_t b) { return std::max(a, b); });
    }
  }

  // The channels that were scanned, in the orientation of the request.
  [[nodiscard]] Channels channels() const {
    return by_columns == is_transposed ? Channels::kRows : Channels::kColumns;
  }
};

std::vector<float> magnitudes_of(std::span<const int32_t> bits) {
  std::vector<float> found;
  for (const int32_t each : bits) {
    found.push_back(std::bit_cast<float>(each));
  }
  return found;
}

// The largest of all channels.
std::vector<float> joined(std::span<const float> magnitudes) {
  int32_t most = 0;
  for (const float value : magnitudes) {
    most = std::max(most, magnitude_bits(value));
  }
  return {std::bit_cast<float>(most)};
}

struct Task {
  Scan* scan;
  int64_t row;
};

}  // namespace

std::optional<std::vector<float>> ScanMemo::find(const WeightPtr& weight, Channels channels) const {
  for (const Channels known : {Channels::kRows, Channels::kColumns}) {
    const auto found = known_.find({weight, known});
    if (found != known_.end() && channels == known) {
      return found->second;
    }
    if (found != known_.end() && channels == Channels::kAll) {
      return joined(found->second);
    }
  }
  return std::nullopt;
}

void ScanMemo::keep(const WeightPtr& weight, Channels channels, std::vector<float> magnitudes) {
  known_[{weight, channels}] = std::move(magnitudes);
}

std::vector<std::vector<float>> scan_magnitudes(std::span<const ScanRequest> requests,
                                                unsigned threads,
                                                ScanMemo* memo) {
  ScanMemo own;
  ScanMemo& known = memo == nullptr ? own : *memo;
  std::vector<std::unique_ptr<Scan>> scans;  // null where nothing is left to scan
  std::vector<Task> tasks;
  for (const ScanRequest& request : requests) {
    std::unique_ptr<Scan>& scan = scans.emplace_back();
    if (known.find(request.weight, request.channels)) {
      continue;
    }
    scan = std::make_unique<Scan>(request);
    for (int64_t row = 0; scan->weight->cols() != 0 && row < scan->weight->rows();
         row += scan->stripe) {
      tasks.push_back({scan.get(), row});
    }
  }
  std::vector<Buffer<float>> buffers(resolve_threads(threads));
  parallel_for(tasks.size(), threads, [&](size_t index, unsigned worker) {
    tasks[index].scan->read(tasks[index].row, buffers[worker]);
  });
  std::vector<std::vector<float>> magnitudes;
  for (size_t i = 0; i < requests.size(); ++i) {
    const auto& [name, weight, channels] = requests[i];
    if (scans[i]) {
      known.keep(weight, scans[i]->channels(), magnitudes_of(scans[i]->most));
    }
    magnitudes.push_back(known.find(weight, channels).value());
  }
  return magnitudes;
}

void require_finite(const ScanRequest& request, std::span<const float> magnitudes) {
  if (std::ranges::all_of(magnitudes, [](float value) { return std::isfinite(value); })) {
    return;
  }
  const Weight& weight = *request.weight;
  const int64_t step = std::max<int64_t>(1, static_cast<int64_t>(kStripeValues) / weight.cols());
  Buffer<float> values;
  for (int64_t row = 0; row < weight.rows(); row += step) {
    const Block block{row, std::min(step, weight.rows() - row), 0, weight.cols()};
    values.resize(block.elements());
    weight.read_floats(block, values.span());
    const auto span = values.span();
    const auto bad = std::ranges::find_if(span, [](float value) { return !std::isfinite(value); });
    if (bad == span.end()) {
      continue;
    }
    int64_t flat = row * weight.cols() + (bad - span.begin());
    std::vector<int64_t> position(weight.shape().size());
    for (size_t axis = position.size(); axis-- > 0;) {
      position[axis] = flat % weight.shape()[axis];
      flat /= weight.shape()[axis];
    }
    fail(ErrorCode::kInvalidFile,
         "{}: the value at [{}] is {}, expected finite numbers; the checkpoint is damaged or its "
         "training diverged",
         request.name,
         fmt::join(position, ", "),
         *bad);
  }
}

}  // namespace lorapress
