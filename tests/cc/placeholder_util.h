// tests/goldens/llava and smolvlm: models whose image features replace the prompt's image tokens.
#ifndef LORAPRESS_TESTS_CC_PLACEHOLDER_UTIL_H_
#define LORAPRESS_TESTS_CC_PLACEHOLDER_UTIL_H_

#include <filesystem>
#include <string>
#include <vector>

#include "lorapress/caption.h"
#include "lorapress/press.h"

#include "base/json.h"
#include "test_util.h"

namespace lorapress::test {

inline const std::vector<std::string> kLlavaGoldens = {
    "llava/clip", "llava/siglip", "llava/layers"};
inline const std::vector<std::string> kPlaceholderGoldens = {
    "llava/clip", "llava/siglip", "llava/layers", "smolvlm/smolvlm", "smolvlm/idefics3"};

inline Source placeholder_source(const fs::path& folder) {
  Source source;
  source.checkpoint = folder / "base";
  if (fs::exists(folder / "adapter")) {
    source.checkpoint = folder / "adapter";
    source.bases = {folder / "base"};
  }
  return source;
}

struct PlaceholderGolden {
  explicit PlaceholderGolden(const std::string& name)
      : folder(source_path("tests/goldens/" + name)), json(read_json(folder / "golden.json")) {}

  [[nodiscard]] Source source() const { return placeholder_source(folder); }
  [[nodiscard]] fs::path image(const Json& row) const {
    return folder.parent_path() / row.at("image").get<std::string>();
  }
  // The prompt itself, not through a template.
  [[nodiscard]] GenerateOptions raw(const std::string& prompt) const {
    GenerateOptions options;
    options.prompt = prompt;
    options.raw_prompt = true;
    options.max_new_tokens = json.at("max_new_tokens").get<int64_t>();
    return options;
  }
  [[nodiscard]] GenerateOptions raw() const { return raw(json.at("prompt").get<std::string>()); }

  fs::path folder;
  Json json;
};

// A writable copy of a case's folder.
inline fs::path writable_copy(const std::string& name, const TempFolder& temp) {
  const fs::path to = temp.path() / "copy";
  fs::copy(source_path("tests/goldens/" + name), to, fs::copy_options::recursive);
  return to;
}

inline PressOptions press_options(const Source& source, const fs::path& out) {
  PressOptions options;
  options.source = source;
  options.out = out;
  return options;
}

inline std::string param_name(const testing::TestParamInfo<std::string>& info) {
  return info.param.substr(info.param.find('/') + 1);
}

}  // namespace lorapress::test

#endif  // LORAPRESS_TESTS_CC_PLACEHOLDER_UTIL_H_
