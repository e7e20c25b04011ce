#include "hub/name.h"

#include <algorithm>

#include "lorapress/hub.h"

#include "base/fail.h"

namespace lorapress {
namespace {

constexpr std::string_view kScheme = "hf:";
constexpr size_t kMaxName = 96;  // of ORG/NAME, as the hub has it
constexpr size_t kMaxRevision = 255;

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-' || c == '.';
}

// On Windows a colon stands behind a drive and before a stream of a file.
bool is_drive([[maybe_unused]] char c) {
#if defined(_WIN32)
  return c == ':';
#else
  return false;
#endif
}

bool is_part(std::string_view part) {
  const auto edge = [](char c) { return c == '-' || c == '.'; };
  return !part.empty() && std::ranges::all_of(part, is_word) && !edge(part.front()) &&
         !edge(part.back()) && part.find("--") == part.npos && part.find("..") == part.npos;
}

bool is_revision(std::string_view revision) {
  return !revision.empty() && revision.size() <= kMaxRevision && safe_hub_file(revision) &&
         std::ranges::all_of(revision, [](char c) { return is_word(c) || c == '/'; });
}

}  // namespace

bool is_hub_model(std::string_view name) {
  return name.starts_with(kScheme);
}

bool safe_hub_file(std::string_view path) {
  size_t begin = 0;
  while (begin <= path.size()) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view part = path.substr(begin, end - begin);
    if (part.empty() || part == "." || part == ".." || std::ranges::any_of(part, [](char c) {
          return c < ' ' || c == '\\' || c == '\x7f' || is_drive(c);
        })) {
      return false;
    }
    begin = end + 1;
  }
  return true;
}

bool is_hex(std::string_view text, size_t digits) {
  return text.size() == digits && std::ranges::all_of(text, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

HubName parse_hub_name(std::string_view name) {
  HubName parsed;
  std::string_view rest = name.substr(is_hub_model(name) ? kScheme.size() : 0);
  if (const size_t at = rest.find('@'); at != rest.npos) {
    parsed.revision = rest.substr(at + 1);
    rest = rest.substr(0, at);
  }
  const size_t slash = rest.find('/');
  if (!is_hub_model(name) || rest.size() > kMaxName || slash == rest.npos ||
      !is_part(rest.substr(0, slash)) || !is_part(rest.substr(slash + 1))) {
    fail(ErrorCode::kInvalidArgument,
         "{}: not a model's name on a hub, expected hf:ORG/NAME or hf:ORG/NAME@REVISION",
         name);
  }
  if (!is_revision(parsed.revision)) {
    fail(ErrorCode::kInvalidArgument,
         "{}: the revision {} is no branch, tag or commit",
         name,
         parsed.revision);
  }
  parsed.repository = rest;
  return parsed;
}

}  // namespace lorapress
