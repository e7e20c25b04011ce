// One pass over the weights of a model for what must be known before they are written: how large
// their values are. Nothing but the results is kept.
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

// What shares one number: all of a weight, each row or each column of its matrix view.
enum class Channels { kAll, kRows, kColumns };

struct ScanRequest {
  std::string name;  // for messages
  WeightPtr weight;  // of a float dtype
  Channels channels = Channels::kAll;
};

// What was scanned already, so that several dtypes of one model read its weights once.
class ScanMemo {
 public:
  // kAll is answered by rows or by columns.
  [[nodiscard]] std::optional<std::vector<float>> find(const WeightPtr& weight,
                                                       Channels channels) const;
  // `channels` is kRows or kColumns.
  void keep(const WeightPtr& weight, Channels channels, std::vector<float> magnitudes);

 private:
  std::map<std::pair<WeightPtr, Channels>, std::vector<float>> known_;
};

// The largest |w| of every channel, for each request. A channel with a NaN or an infinity has one
// of them as its magnitude. 0 for a channel without elements. `memo` may be null.
std::vector<std::vector<float>> scan_magnitudes(std::span<const ScanRequest> requests,
                                                unsigned threads,
                                                ScanMemo* memo = nullptr);

// Throws kInvalidFile naming the first element that is NaN or infinite, when `magnitudes` has one.
void require_finite(const ScanRequest& request, std::span<const float> magnitudes);

}  // namespace lorapress

#endif  // LORAPRESS_QUANT_WEIGHT_SCAN_H_
