// The searches of tests/oracle/make_generation.py: options and what transformers' generate() gives.
#ifndef LORAPRESS_TESTS_CC_SEARCH_UTIL_H_
#define LORAPRESS_TESTS_CC_SEARCH_UTIL_H_

#include <string>
#include <vector>

#include "lorapress/caption.h"

#include "golden_util.h"

namespace lorapress::test {

inline const Json& searches() {
  static const Json kFile = read_json(source_path("tests/goldens/generation/searches.json"));
  return kFile;
}

inline GenerateOptions to_options(const Json& json, int64_t max_new_tokens) {
  GenerateOptions options;
  if (const int64_t most = json.value("max_new_tokens", max_new_tokens); most > 0) {
    options.max_new_tokens = most;
  }
  options.min_new_tokens = json.value("min_new_tokens", int64_t{0});
  options.num_beams = json.value("num_beams", int64_t{1});
  options.length_penalty = json.value("length_penalty", 1.0);
  if (const auto early = json.find("early_stopping"); early != json.end()) {
    options.early_stopping = early->is_string()   ? EarlyStopping::kNever
                             : early->get<bool>() ? EarlyStopping::kFirst
                                                  : EarlyStopping::kHeuristic;
  }
  options.repetition_penalty = json.value("repetition_penalty", 1.0);
  options.no_repeat_ngram_size = json.value("no_repeat_ngram_size", int64_t{0});
  if (json.contains("temperature")) {
    options.do_sample = true;
    options.temperature = json.at("temperature");
    options.top_k = json.at("top_k");
    options.top_p = json.at("top_p");
  }
  return options;
}

// pixel_values of a golden's images.
class Pictures {
 public:
  explicit Pictures(const Golden& golden) {
    for (size_t i = 0; i < golden.json.at("images").size(); ++i) {
      pixels_.push_back(golden.row("pixel_values", i));
    }
  }
  [[nodiscard]] const std::vector<std::vector<float>>& all() const { return pixels_; }
  [[nodiscard]] const std::vector<float>& at(const Json& row) const {
    return pixels_.at(row.at("image").get<size_t>());
  }

 private:
  std::vector<std::vector<float>> pixels_;
};

}  // namespace lorapress::test

#endif  // LORAPRESS_TESTS_CC_SEARCH_UTIL_H_
