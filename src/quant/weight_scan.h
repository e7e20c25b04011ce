// One pass over the weights of a model that finds their largest magnitudes, which must be known
// before the weights are written. Only the results are kept.
#ifndef LORAPRESS_QUANT_WEIGHT_SCAN_H_
#define LORAPRESS_QUANT_WEIGHT_SCAN_H_

#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "weights/weight.h"

namespace lorapress {

// What one number applies to: the whole weight, each row or each column of its matrix view.
enum class Channels { kAll, kRows, kColumns };

struct ScanRequest {
  std::string name;  // for messages
  WeightPtr weight;  // of a float dtype
  Channels channels = Channels::kAll;
};

// The results of earlier scans, so that several dtypes of one model read its weights once.
class ScanMemo {
 public:
  // Empty if the weight was not scanned by these channels. kAll is computed from rows or columns.
  [[nodiscard]] std::optional<std::vector<float>> find(const WeightPtr& weight,
                                                       Channels channels) const;
  // `channels` is kRows or kColumns.
  void keep(const WeightPtr& weight, Channels channels, std::vector<float> magnitudes);

 private:
  std::map<std::pair<WeightPtr, Channels>, std::vector<float>> known_;
};

// The largest |w| of every channel, for each request. The magnitude of a channel with a NaN or an
// infinity is NaN or infinity; that of a channel without elements is 0. `memo` may be null.
std::vector<std::vector<float>> scan_magnitudes(std::span<const ScanRequest> requests,
                                                unsigned threads,
                                                ScanMemo* memo = nullptr);

// Throws kInvalidFile naming the first element that is NaN or infinite, when `magnitudes` has one.
void require_finite(const ScanRequest& request, std::span<const float> magnitudes);

}  // namespace lorapress

#endif  // LORAPRESS_QUANT_WEIGHT_SCAN_H_
