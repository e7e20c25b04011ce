// A pressed folder's two graphs, fed by hand.
#ifndef LORAPRESS_TESTS_CC_PRESSED_H_
#define LORAPRESS_TESTS_CC_PRESSED_H_

#include <algorithm>
#include <string>
#include <vector>

#include "bundles/manifest.h"
#include "graph/ports.h"
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
        decoder_(folder / manifest_.graphs.at(dtype).at("decoder"), 1) {
    for (int64_t layer = 0; layer < manifest_.num_hidden_layers; ++layer) {
      for (const CachePart part : kCacheParts) {
        past_.push_back(cache_port(CacheSide::kPast, layer, part));
        wanted_.push_back(cache_port(CacheSide::kPresent, layer, part));
      }
    }
  }

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
    std::vector<OrtTensor> cache;
    const auto port = std::ranges::find(decoder_.inputs(), past_.at(0), &OrtPort::name);
    for (size_t i = 0; i < past_.size(); ++i) {
      cache.emplace_back(port->dtype,
                         Shape{batch, manifest_.num_key_value_heads, 0, manifest_.head_dim});
    }
    return cache;
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
    std::vector<OrtSession::Feed> feeds{{kInputIds, &input}, {kEncoderHiddenStates, &prefix}};
    for (size_t i = 0; i < past_.size(); ++i) {
      feeds.push_back({past_[i], &cache[i]});
    }
    std::vector<std::string> wanted{kLogits};
    wanted.insert(wanted.end(), wanted_.begin(), wanted_.end());
    std::vector<OrtTensor> outputs = decoder_.run(feeds, wanted);
    cache.clear();
    std::move(outputs.begin() + 1, outputs.end(), std::back_inserter(cache));
    const auto logits = outputs[0].as_floats();
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
  std::vector<std::string> past_;
  std::vector<std::string> wanted_;
};

}  // namespace lorapress::test

#endif  // LORAPRESS_TESTS_CC_PRESSED_H_
