// A pressed folder of bundle "single", and checkpoints whose end tokens are others.
#ifndef LORAPRESS_TESTS_CC_SINGLE_UTIL_H_
#define LORAPRESS_TESTS_CC_SINGLE_UTIL_H_

#include <cstring>
#include <string>
#include <vector>

#include "lorapress/press.h"

#include "bundles/manifest.h"
#include "engine_util.h"
#include "golden_util.h"
#include "runtime/ort/ort.h"

namespace lorapress::test {

using Ids = std::vector<int64_t>;

class Single {
 public:
  explicit Single(const fs::path& folder)
      : manifest_(read_manifest(folder)),
        file_(folder / manifest_.graphs.at("fp32").at("captioner")),
        session_(file_, 1) {}

  // Pixels of each image -> new tokens of each.
  [[nodiscard]] std::vector<Ids> caption(const std::vector<std::vector<float>>& images,
                                         int64_t max_new_tokens) const {
    std::vector<float> all;
    for (const std::vector<float>& image : images) {
      all.insert(all.end(), image.begin(), image.end());
    }
    const Preprocessing& size = manifest_.preprocessing;
    const OrtTensor pixels =
        OrtTensor::floats({std::ssize(images), 3, size.height, size.width}, all);
    return run({"pixel_values", &pixels}, max_new_tokens);
  }

  [[nodiscard]] std::vector<Ids> run(const OrtSession::Feed& image, int64_t max_new_tokens) const {
    const OrtTensor most = OrtTensor::integers({}, Ids{max_new_tokens});
    const std::vector<OrtTensor> outputs =
        session_.run({image, {"max_new_tokens", &most}}, {"generated_ids"});
    Ids flat(outputs[0].bytes().size() / sizeof(int64_t));
    std::memcpy(flat.data(), outputs[0].bytes().data(), outputs[0].bytes().size());
    const auto width = static_cast<ptrdiff_t>(outputs[0].shape().at(1));
    std::vector<Ids> rows;
    for (int64_t row = 0; row < outputs[0].shape().at(0); ++row) {
      rows.emplace_back(flat.begin() + row * width, flat.begin() + (row + 1) * width);
    }
    return rows;
  }

  // The same by the project's own engine.
  [[nodiscard]] std::vector<Ids> caption_natively(const std::vector<std::vector<float>>& images,
                                                  int64_t max_new_tokens) const {
    std::map<std::string, EngineInput> inputs;
    const Preprocessing& size = manifest_.preprocessing;
    EngineInput& pixels = inputs["pixel_values"];
    pixels.shape = {std::ssize(images), 3, size.height, size.width};
    for (const std::vector<float>& image : images) {
      pixels.values.insert(pixels.values.end(), image.begin(), image.end());
    }
    inputs["max_new_tokens"] = {DType::kI64, {}, {static_cast<double>(max_new_tokens)}};
    const EngineResult ids = run_native(file_, inputs, 2).at(0);
    std::vector<Ids> rows(static_cast<size_t>(ids.shape.at(0)));
    for (size_t i = 0; i < ids.values.size(); ++i) {
      rows[i / static_cast<size_t>(ids.shape.at(1))].push_back(static_cast<int64_t>(ids.values[i]));
    }
    return rows;
  }

  [[nodiscard]] const Manifest& manifest() const { return manifest_; }
  [[nodiscard]] const OrtSession& session() const { return session_; }

 private:
  Manifest manifest_;
  fs::path file_;
  OrtSession session_;
};

// A copy of the golden's checkpoint in which generation ends with these tokens.
inline fs::path with_end_tokens(const Golden& golden, const Json& eos, const fs::path& to) {
  const fs::path from = golden.folder / golden.json.at("checkpoint").get<std::string>();
  fs::create_directories(to);
  for (const auto& entry : fs::directory_iterator(from)) {
    if (entry.is_regular_file()) {
      fs::copy_file(entry.path(), to / entry.path().filename());
    }
  }
  Json config = read_json(to / "config.json");
  config["text_config"]["eos_token_id"] = eos;
  fs::remove(to / "config.json");
  write_text(to / "config.json", config.dump());
  return to;
}

}  // namespace lorapress::test

#endif  // LORAPRESS_TESTS_CC_SINGLE_UTIL_H_
