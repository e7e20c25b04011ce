#include "base/json.h"

#include <set>
#include <vector>

#include "base/fail.h"
#include "base/file.h"

namespace lorapress {
namespace {

constexpr int kMaxDepth = 64;

// Parser callback that stops at duplicate keys and deep nesting. One set of keys per open object.
class Watch {
 public:
  bool operator()(int depth,
                  Json::parse_event_t event,
                  const Json& parsed,
                  std::string_view where) {
    const bool opens =
        event == Json::parse_event_t::object_start || event == Json::parse_event_t::array_start;
    if (depth + (opens ? 1 : 0) > kMaxDepth) {  // `depth` does not count the value that opens
      fail(ErrorCode::kInvalidFile, "{}: JSON nested deeper than {} levels", where, kMaxDepth);
    }
    if (event == Json::parse_event_t::object_start) {
      keys_.emplace_back();
    } else if (event == Json::parse_event_t::object_end) {
      keys_.pop_back();
    } else if (event == Json::parse_event_t::key) {
      const auto& key = parsed.get_ref<const std::string&>();
      if (!keys_.back().insert(key).second) {
        fail(ErrorCode::kInvalidFile, "{}: the key \"{}\" stands twice", where, key);
      }
    }
    return true;
  }

 private:
  std::vector<std::set<std::string>> keys_;
};

template <typename T>
bool is_type(const Json& value) {
  if constexpr (std::is_same_v<T, bool>) {
    return value.is_boolean();
  } else if constexpr (std::is_same_v<T, int64_t>) {
    return value.is_number_integer() &&
           !(value.is_number_unsigned() && value.get<uint64_t>() > INT64_MAX);
  } else if constexpr (std::is_same_v<T, double>) {
    return value.is_number();
  } else {
    return value.is_string();
  }
}

template <typename T>
constexpr std::string_view kTypeName = "a string";
template <>
constexpr std::string_view kTypeName<bool> = "true or false";
template <>
constexpr std::string_view kTypeName<int64_t> = "a whole number";
template <>
constexpr std::string_view kTypeName<double> = "a number";

}  // namespace

Json parse_json(std::string_view text, std::string_view where) {
  Watch watch;
  try {
    return Json::parse(text, [&](int depth, Json::parse_event_t event, const Json& parsed) {
      return watch(depth, event, parsed, where);
    });
  } catch (const Json::exception& error) {
    const std::string_view what = error.what();  // "[json.exception.…] parse error at line …"
    const size_t tag = what.find("] ");
    const std::string_view why = what.substr(tag == std::string_view::npos ? 0 : tag + 2);
    fail(ErrorCode::kInvalidFile, "{}: not valid JSON: {}", where, why);
  }
}

Json read_json(const std::filesystem::path& path, uint64_t limit) {
  return parse_json(read_text(path, limit), path.string());
}

template <typename T>
T json_get(const Json& object, std::string_view key, std::string_view where) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  if (found == object.end()) {
    fail(ErrorCode::kInvalidFile, "{}: \"{}\" is missing, expected {}", where, key, kTypeName<T>);
  }
  if (!is_type<T>(*found)) {
    fail(ErrorCode::kInvalidFile,
         "{}: \"{}\" is {}, expected {}",
         where,
         key,
         found->dump().substr(0, 80),
         kTypeName<T>);
  }
  return found->template get<T>();
}

template <typename T>
T json_or(const Json& object, std::string_view key, T fallback, std::string_view where) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  if (found == object.end() || found->is_null()) {
    return fallback;
  }
  return json_get<T>(object, key, where);
}

int64_t json_bounded(
    const Json& object, std::string_view key, int64_t least, int64_t most, std::string_view where) {
  const auto value = json_get<int64_t>(object, key, where);
  if (value < least || value > most) {
    fail(ErrorCode::kInvalidFile,
         "{}: \"{}\" is {}, expected {} to {}",
         where,
         key,
         value,
         least,
         most);
  }
  return value;
}

template bool json_get<bool>(const Json&, std::string_view, std::string_view);
template int64_t json_get<int64_t>(const Json&, std::string_view, std::string_view);
template double json_get<double>(const Json&, std::string_view, std::string_view);
template std::string json_get<std::string>(const Json&, std::string_view, std::string_view);
template bool json_or<bool>(const Json&, std::string_view, bool, std::string_view);
template int64_t json_or<int64_t>(const Json&, std::string_view, int64_t, std::string_view);
template double json_or<double>(const Json&, std::string_view, double, std::string_view);
template std::string json_or<std::string>(const Json&,
                                          std::string_view,
                                          std::string,
                                          std::string_view);

}  // namespace lorapress
