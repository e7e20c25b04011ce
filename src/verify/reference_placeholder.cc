#include "verify/reference_placeholder.h"

#include <algorithm>

#include "base/fail.h"

namespace lorapress::reference {

template <typename T>
BasicRows<T> joined(const Decoder& decoder,
                    const BasicRows<T>& features,
                    const ReferencePrompt& prompt) {
  if (prompt.ids.empty()) {
    return features;
  }
  const auto places = std::ranges::count(prompt.ids, prompt.image_token_id);
  if (places != features.rows) {
    fail(ErrorCode::kMismatch,
         "the prompt has {} image tokens, the image {} features",
         places,
         features.rows);
  }
  BasicRows<T> rows(std::ssize(prompt.ids), decoder.hidden_size());
  int64_t feature = 0;
  for (int64_t i = 0; i < rows.rows; ++i) {
    const int64_t id = prompt.ids[static_cast<size_t>(i)];
    if (id == prompt.image_token_id) {
      std::ranges::copy(features.row(feature++), rows.row(i).begin());
    } else {
      decoder.embed<T>(id, rows.row(i));
    }
  }
  return rows;
}

template BasicRows<float> joined(const Decoder&, const BasicRows<float>&, const ReferencePrompt&);
template BasicRows<double> joined(const Decoder&, const BasicRows<double>&, const ReferencePrompt&);

}  // namespace lorapress::reference
