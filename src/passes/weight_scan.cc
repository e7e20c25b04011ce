#include "passes/weight_scan.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <mutex>

#include "base/buffer.h"
#include "base/fail.h"
#include "base/simd.h"
#include "base/threads.h"

namespace lorapress {
namespace {

constexpr size_t kStripeValues = size_t{256} << 10;  // what one task reads, 1 MB

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

LORAPRESS_SIMD void raise(const float* values, int32_t* most, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    const int32_t bits = magnitude_bits(values[i]);
    most[i] = bits > most[i] ? bits : most[i];
  }
}

// A request in the orientation whose rows are cheap to read, cut into stripes of rows.
struct Scan {
  WeightPtr weight;
  Channels channels;
  int64_t stripe;  // rows
  std::vector<int32_t> most;
  std::mutex mutex;

  explicit Scan(const ScanRequest& request) : weight(request.weight), channels(request.channels) {
    if (!weight->row_wise() && weight->shape().size() == 2) {
      weight = transpose(weight);
      channels = channels == Channels::kRows      ? Channels::kColumns
                 : channels == Channels::kColumns ? Channels::kRows
                                                  : Channels::kAll;
    }
    const auto values =
        static_cast<int64_t>(weight->row_wise() ? kStripeValues : kStripeValues * 8);
    stripe = std::max<int64_t>(1, values / std::max<int64_t>(weight->cols(), 1));
    most.resize(
        channels == Channels::kAll
            ? 1
            : static_cast<size_t>(channels == Channels::kRows ? weight->rows() : weight->cols()));
  }

  void read(int64_t row, Buffer<float>& buffer) {
    const Block block{row, std::min(stripe, weight->rows() - row), 0, weight->cols()};
    buffer.resize(block.elements());
    weight->read_floats(block, buffer.span());
    const auto width = static_cast<size_t>(block.cols);
    const auto rows = static_cast<size_t>(block.rows);
    if (channels == Channels::kRows) {
      for (size_t i = 0; i < rows; ++i) {
        most[static_cast<size_t>(row) + i] = largest(buffer.data() + i * width, width);
      }
      return;
    }
    std::vector<int32_t> mine(most.size());
    if (channels == Channels::kAll) {
      mine[0] = largest(buffer.data(), buffer.size());
    } else {
      for (size_t i = 0; i < rows; ++i) {
        raise(buffer.data() + i * width, mine.data(), width);
      }
    }
    const std::lock_guard lock(mutex);
    std::ranges::transform(
        most, mine, most.begin(), [](int32_t a, int32_t b) { return std::max(a, b); });
  }
};

struct Task {
  Scan* scan;
  int64_t row;
};

}  // namespace

std::vector<std::vector<float>> scan_magnitudes(std::span<const ScanRequest> requests,
                                                unsigned threads) {
  std::vector<std::unique_ptr<Scan>> scans;
  std::vector<Task> tasks;
  for (const ScanRequest& request : requests) {
    Scan& scan = *scans.emplace_back(std::make_unique<Scan>(request));
    if (scan.weight->cols() == 0) {
      continue;
    }
    for (int64_t row = 0; row < scan.weight->rows(); row += scan.stripe) {
      tasks.push_back({&scan, row});
    }
  }
  std::vector<Buffer<float>> buffers(resolve_threads(threads));
  parallel_for(tasks.size(), threads, [&](size_t index, unsigned worker) {
    tasks[index].scan->read(tasks[index].row, buffers[worker]);
  });
  std::vector<std::vector<float>> magnitudes;
  for (const auto& scan : scans) {
    std::vector<float>& found = magnitudes.emplace_back();
    for (const int32_t bits : scan->most) {
      found.push_back(std::bit_cast<float>(bits));
    }
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
