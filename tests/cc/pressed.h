// A pressed folder's two graphs, called as a client does: several rows or positions in one call, too.
#ifndef LORAPRESS_TESTS_CC_PRESSED_H_
#define LORAPRESS_TESTS_CC_PRESSED_H_

#include <algorithm>
#include <string>
#include <vector>

#include "bundles/manifest.h"
#include "runtime/graphs/client_calls.h"
#include "runtime/ort/ort.h"

namespace lorapress::test {

inline int64_t argmax(const std::vector<float>& values) {
  return std::ranges::max_element(values) - values.begin();
}

class Pressed {
 public:
  explicit Pressed(const std::filesystem::path& folder, const std::string& dtype = "fp32")
      : manifest_(read_manifest(folder)),
        encoder_(folder / manifest_.graphs.at(dtype).at("encoder"), 1),
        decoder_(folder / manifest_.graphs.at(dtype).at("decoder"), 1),
        calls_(decoder_) {}

  [[nodiscard]] std::vector<int64_t> start() const { return {manifest_.decoder_start_token_id}; }
  [[nodiscard]] bool is_end(int64_t id) const {
    return std::ranges::find(manifest_.eos_token_ids, id) != manifest_.eos_token_ids.end();
  }

  // Pixels of each image -> image tokens.
  [[nodiscard]] OrtTensor encode(const std::vector<std::vector<float>>& images) const {
    std::vector<float> all;
    for (const std::vector<float>& image : images) {
      all.insert(all.end(), image.begin(), image.end());
    }
    const Preprocessing& size = manifest_.preprocessing;
    const OrtTensor pixels =
        OrtTensor::floats({static_cast<int64_t>(images.size()), 3, size.height, size.width}, all);
    return std::move(encoder_.run({{kPixelValues, &pixels}}, {kLastHiddenState})[0]);
  }

  [[nodiscard]] std::vector<OrtTensor> empty_cache(int64_t batch) const {
    return calls_.empty_cache(batch);
  }

  // One call of the decoder: rows of ids, all of one length -> rows of logits. Replaces the cache.
  std::vector<std::vector<float>> step(const std::vector<std::vector<int64_t>>& ids,
                                       const OrtTensor& prefix,
                                       std::vector<OrtTensor>& cache) const {
    std::vector<int64_t> all;
    for (const std::vector<int64_t>& row : ids) {
      all.insert(all.end(), row.begin(), row.end());
    }
    const auto batch = static_cast<int64_t>(ids.size());
    const OrtTensor input = OrtTensor::integers({batch, static_cast<int64_t>(ids[0].size())}, all);
    ClientCalls::Step made = calls_.step(decoder_, input, &prefix, cache);
    cache = std::move(made.cache);
    const auto logits = made.logits.as_floats();
    const size_t width = logits.size() / ids.size();
    std::vector<std::vector<float>> rows;
    for (size_t i = 0; i < ids.size(); ++i) {
      const auto row = logits.subspan(i * width, width);
      rows.emplace_back(row.begin(), row.end());
    }
    return rows;
  }

 private:
  Manifest manifest_;
  OrtSession encoder_;
  OrtSession decoder_;
  ClientCalls calls_;
};

}  // namespace lorapress::test

#endif  // LORAPRESS_TESTS_CC_PRESSED_H_
