// A pressed folder of bundle "components", run in native ONNX Runtime.
#ifndef LORAPRESS_TESTS_CC_COMPONENTS_UTIL_H_
#define LORAPRESS_TESTS_CC_COMPONENTS_UTIL_H_

#include <algorithm>
#include <string>
#include <vector>

#include "runtime/generation/sampling.h"
#include "runtime/graphs/client_calls.h"
#include "runtime/ort/ort.h"
#include "single_util.h"

namespace lorapress::test {

class Components {
 public:
  explicit Components(const fs::path& folder)
      : manifest_(read_manifest(folder)),
        vision_(open(folder, "vision_encoder")),
        projection_(open(folder, "projection")),
        prefix_init_(open(folder, "prefix_init")),
        language_model_(open(folder, "language_model")),
        calls_(language_model_) {}

  [[nodiscard]] Ids caption(const std::vector<float>& image, int64_t most) const {
    const Preprocessing& size = manifest_.preprocessing;
    const OrtTensor pixels = OrtTensor::floats({1, 3, size.height, size.width}, image);
    const auto hidden = vision_.run({{"pixel_values", &pixels}}, {"vision_hidden_states"});
    const auto prefix =
        projection_.run({{"vision_hidden_states", &hidden[0]}}, {"projected_prefix"});
    ClientCalls::Step step = ClientCalls::to_step(
        prefix_init_.run({{"prefix_embeddings", &prefix[0]}}, calls_.outputs()));
    Ids ids;
    for (;;) {
      ids.push_back(argmax(step.logits.as_floats()));
      if (std::ssize(ids) == most || std::ranges::count(manifest_.eos_token_ids, ids.back()) != 0) {
        return ids;
      }
      const OrtTensor next = OrtTensor::integers({1, 1}, std::span(ids).last(1));
      step = calls_.step(language_model_, next, nullptr, step.cache);
    }
  }

 private:
  OrtSession open(const fs::path& folder, const std::string& role) {
    return {folder / manifest_.graphs.at("fp32").at(role), 1};
  }
  Manifest manifest_;
  OrtSession vision_;
  OrtSession projection_;
  OrtSession prefix_init_;
  OrtSession language_model_;
  ClientCalls calls_;
};

}  // namespace lorapress::test

#endif  // LORAPRESS_TESTS_CC_COMPONENTS_UTIL_H_
