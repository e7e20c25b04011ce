#include "c_api/options.h"

#include <cmath>
#include <limits>

#include "lorapress/option_names.h"

#include "base/fail.h"
#include "checkpoint/generation_settings.h"

namespace lorapress::c_api {
namespace {

constexpr int64_t kMostThreads = 1024;
constexpr int64_t kAnyVocabulary =
    std::numeric_limits<int32_t>::max();  // the folder's own is checked with it

[[noreturn]] void fail_type(const char* key, const char* expected, const Json& found) {
  constexpr size_t kShown = 80;
  fail(ErrorCode::kInvalidArgument,
       "{}: expected {}, found {}",
       key,
       expected,
       found.dump(-1, ' ', true, Json::error_handler_t::replace).substr(0, kShown));
}

AdapterSource to_adapter(const Json& value) {
  if (value.is_string()) {
    return {to_path(value.get_ref<const std::string&>()), 1.0};
  }
  if (value.is_object() && value.size() == 2 && value.contains("folder") &&
      value.contains("weight") && value["folder"].is_string() && value["weight"].is_number()) {
    return {to_path(value["folder"].get_ref<const std::string&>()), value["weight"].get<double>()};
  }
  fail_type("adapter", "folders, or {\"folder\": ..., \"weight\": ...}", value);
}

}  // namespace

std::filesystem::path to_path(std::string_view text) {
  if (const size_t zero = text.find('\0'); zero != std::string_view::npos) {
    fail(ErrorCode::kInvalidArgument,
         "a path with a zero byte behind \"{}\", expected one without",
         text.substr(0, zero));
  }
  return std::u8string(text.begin(), text.end());
}

void Options::parse(const char* text) {
  if (text == nullptr) {
    return;
  }
  try {
    json_ = parse_json(text, "the call's options");
  } catch (const Error& error) {
    fail(ErrorCode::kInvalidArgument, "{}", error.what());
  }
  if (!json_.is_object()) {
    json_ = Json::object();
    fail(ErrorCode::kInvalidArgument, "the call's options are not a JSON object");
  }
}

const Json* Options::member(const char* key) {
  known_.emplace(key);
  const auto found = json_.find(key);
  return found == json_.end() || found->is_null() ? nullptr : &*found;
}

int64_t Options::whole_number(const Json& value,
                              const char* key,
                              int64_t least,
                              int64_t most) const {
  constexpr double kExact = 9007199254740992.0;  // 2^53
  const double number = value.is_number() ? value.get<double>() : NAN;
  if (!(std::abs(number) <= kExact) || number != std::floor(number)) {
    fail_type(key, "a whole number", value);
  }
  const auto whole = static_cast<int64_t>(number);
  if (whole < least || whole > most) {
    fail(ErrorCode::kInvalidArgument, "{} {}, expected {} to {}", key, whole, least, most);
  }
  return whole;
}

void Options::take(const char* key, bool& field) {
  if (const Json* value = member(key)) {
    if (!value->is_boolean()) {
      fail_type(key, "true or false", *value);
    }
    field = value->get<bool>();
  }
}

void Options::take(const char* key, double& field) {
  if (const Json* value = member(key)) {
    if (!value->is_number()) {
      fail_type(key, "a number", *value);
    }
    field = value->get<double>();
  }
}

void Options::take(const char* key, int64_t& field) {
  if (const Json* value = member(key)) {
    constexpr int64_t kMost = int64_t{1} << 53;
    field = whole_number(*value, key, -kMost, kMost);
  }
}

void Options::take(const char* key, int& field) {
  if (const Json* value = member(key)) {
    using Limits = std::numeric_limits<int>;
    field = static_cast<int>(whole_number(*value, key, Limits::min(), Limits::max()));
  }
}

void Options::take(const char* key, uint32_t& field) {
  if (const Json* value = member(key)) {
    const int64_t most = std::string_view(key) == "threads"
                             ? kMostThreads
                             : int64_t{std::numeric_limits<uint32_t>::max()};
    field = static_cast<uint32_t>(whole_number(*value, key, 0, most));
  }
}

void Options::take(const char* key, std::string& field) {
  if (const Json* value = member(key)) {
    if (!value->is_string()) {
      fail_type(key, "text", *value);
    }
    field = value->get<std::string>();
  }
}

void Options::take(const char* key, std::filesystem::path& field) {
  std::string text;
  take(key, text);
  if (!text.empty()) {
    field = to_path(text);
  }
}

void Options::take(const char* key, std::vector<std::string>& field) {
  if (const Json* value = member(key)) {
    field.clear();
    for (const Json& text : value->is_array() ? *value : Json::array({*value})) {
      if (!text.is_string()) {
        fail_type(key, "text or a list of texts", *value);
      }
      field.push_back(text.get<std::string>());
    }
  }
}

void Options::require(const char* key, std::string& field) {
  take(key, field);
  if (field.empty()) {
    fail(ErrorCode::kInvalidArgument, "{} is required", key);
  }
}

void Options::require(const char* key, std::filesystem::path& field) {
  std::string text;
  require(key, text);
  field = to_path(text);
}

Source Options::source() {
  Source source;
  require("checkpoint", source.checkpoint);
  if (const Json* adapters = member("adapter")) {
    for (const Json& adapter : adapters->is_array() ? *adapters : Json::array({*adapters})) {
      source.adapters.push_back(to_adapter(adapter));
    }
  }
  std::vector<std::string> bases;
  take("base", bases);
  for (const std::string& base : bases) {
    source.bases.push_back(to_path(base));
  }
  return source;
}

SchemeOptions Options::scheme() {
  SchemeOptions scheme;
  take("block_size", scheme.block_size);
  take("accuracy_level", scheme.accuracy_level);
  if (scheme.accuracy_level != 0 && scheme.accuracy_level != 4) {
    fail(ErrorCode::kInvalidArgument, "accuracy_level {}, expected 0 or 4", scheme.accuracy_level);
  }
  bool asymmetric = false;
  bool per_tensor = false;
  take("asymmetric", asymmetric);
  take("per_tensor", per_tensor);
  scheme.symmetric = !asymmetric;
  scheme.per_channel = !per_tensor;
  std::string rounding = member("calibrate") != nullptr ? "search" : "nearest";
  take("rounding", rounding);
  if (rounding != "nearest" && rounding != "search") {
    fail(ErrorCode::kInvalidArgument, "rounding {} is not one of nearest, search", rounding);
  }
  scheme.rounding = rounding == "search" ? Rounding::kSearch : Rounding::kNearest;
  take("exclude", scheme.exclude);
  return scheme;
}

std::vector<std::string> Options::dtypes() {
  std::vector<std::string> given;
  take("dtype", given);
  std::vector<std::string> dtypes;
  for (const std::string& names : given) {
    size_t begin = 0;
    for (size_t comma = 0; comma != std::string::npos; begin = comma + 1) {
      comma = names.find(',', begin);
      dtypes.push_back(names.substr(begin, comma == std::string::npos ? comma : comma - begin));
    }
  }
  return dtypes;
}

GenerateOptions Options::generation() {
  GenerateOptions generate;
  take("prompt", generate.prompt);
  take("system", generate.system);
  take("raw_prompt", generate.raw_prompt);
  std::optional<uint32_t> seed;
  take("seed", seed);
  generate.seed = seed.value_or(0);
  for (const std::string_view key : generation_setting_keys()) {
    known_.emplace(key);
  }
  try {
    static_cast<GenerationSettings&>(generate) =
        parse_generation_settings(json_, kAnyVocabulary, "the call's options");
  } catch (const Error& error) {
    fail(ErrorCode::kInvalidArgument, "{}", error.what());
  }
  if (!generate.do_sample && (generate.temperature || generate.top_k || generate.top_p || seed)) {
    generate.do_sample = true;  // as on the command line: any of these turns it on
  }
  check_options(generate);
  return generate;
}

void Options::finish() const {
  for (const auto& [key, value] : json_.items()) {
    if (!known_.contains(key)) {
      fail(ErrorCode::kInvalidArgument,
           "{} is no option of this call (there are {})",
           key,
           fmt::join(known_, ", "));
    }
  }
}

std::string Options::renamed(std::string_view text) const {
  return rename_options(text, [this](std::string_view field) {
    return known_.contains(field) ? std::string(field) : std::string();
  });
}

void Options::rename(std::vector<std::string>& texts) const {
  for (std::string& text : texts) {
    text = renamed(text);
  }
}

}  // namespace lorapress::c_api
