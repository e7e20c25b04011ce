// JSON from untrusted files: bounded size and depth, no duplicate keys, typed access with errors
// that name the file and the key.
#ifndef LORAPRESS_BASE_JSON_H_
#define LORAPRESS_BASE_JSON_H_

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace lorapress {

using Json = nlohmann::json;

// The size limit of configurations and indices; parsed JSON takes many times its size in memory.
inline constexpr uint64_t kMaxJson = uint64_t{32} << 20;

// `where` names the source in messages. Throws kInvalidFile for anything but one JSON value, for a
// duplicate key in one object, and for more than 64 levels.
Json parse_json(std::string_view text, std::string_view where);
Json read_json(const std::filesystem::path& path, uint64_t limit = kMaxJson);

// The member `key` as T; `fallback` when it is absent or null; kInvalidFile when it is of another
// type. T: bool, int64_t, double, std::string.
template <typename T>
T json_or(const Json& object, std::string_view key, T fallback, std::string_view where);
// The same without a fallback: an absent member is kInvalidFile.
template <typename T>
T json_get(const Json& object, std::string_view key, std::string_view where);
// The same of a number in [least, most], so that buffers and loops that it sizes stay bounded.
int64_t json_bounded(
    const Json& object, std::string_view key, int64_t least, int64_t most, std::string_view where);

}  // namespace lorapress

#endif  // LORAPRESS_BASE_JSON_H_
