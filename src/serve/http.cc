#include "serve/http.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace lorapress {
namespace {

constexpr std::string_view kSpace = " \t";

std::string_view trim(std::string_view text) {
  const size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) {
    return {};
  }
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

std::string lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(
      result, result.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; });
  return result;
}

// The value of "%XX" at `at`.
std::optional<char> escaped(std::string_view text, size_t at) {
  unsigned value = 0;
  if (text.size() - at < 3) {
    return std::nullopt;
  }
  const char* first = text.data() + at + 1;
  const auto result = std::from_chars(first, first + 2, value, 16);
  if (result.ec != std::errc{} || result.ptr != first + 2) {
    return std::nullopt;
  }
  return static_cast<char>(value);
}

// Digits only, and no more than fit.
std::optional<uint64_t> parse_number(std::string_view text) {
  uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, value);
  const bool digits =
      !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
  if (digits && result.ec == std::errc::result_out_of_range) {
    return UINT64_MAX;
  }
  return digits && result.ptr == end ? std::optional(value) : std::nullopt;
}

struct ContentType {
  std::string_view suffix;
  std::string_view type;
};

constexpr std::array kContentTypes = {
    ContentType{".html", "text/html; charset=utf-8"},
    ContentType{".js", "text/javascript; charset=utf-8"},
    ContentType{".mjs", "text/javascript; charset=utf-8"},
    ContentType{".css", "text/css; charset=utf-8"},
    ContentType{".json", "application/json"},
    ContentType{".map", "application/json"},
    ContentType{".webmanifest", "application/manifest+json"},
    ContentType{".wasm", "application/wasm"},
    ContentType{".txt", "text/plain; charset=utf-8"},
    ContentType{".md", "text/plain; charset=utf-8"},
    ContentType{".svg", "image/svg+xml"},
    ContentType{".png", "image/png"},
    ContentType{".jpg", "image/jpeg"},
    ContentType{".jpeg", "image/jpeg"},
    ContentType{".webp", "image/webp"},
    ContentType{".avif", "image/avif"},
    ContentType{".gif", "image/gif"},
    ContentType{".ico", "image/x-icon"},
    ContentType{".woff2", "font/woff2"},
};

}  // namespace

std::optional<std::string> decode_path(std::string_view raw) {
  if (!raw.starts_with('/')) {
    return std::nullopt;
  }
  std::string path;
  for (size_t at = 1; at < raw.size(); ++at) {
    char c = raw[at];
    if (c == '%') {
      const std::optional<char> value = escaped(raw, at);
      if (!value || *value == '/') {  // a slash inside a name: no file has one
        return std::nullopt;
      }
      c = *value;
      at += 2;
    }
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      return std::nullopt;
    }
    path += c;
  }
  char before = '/';
  for (const char c : path) {
    if (before == '/' && (c == '/' || c == '.')) {
      return std::nullopt;
    }
    before = c;
  }
  return path;
}

ByteRange parse_range(std::string_view header, uint64_t size) {
  constexpr std::string_view kUnit = "bytes=";
  const ByteRange whole{ByteRange::Kind::kWhole, 0, size};
  const ByteRange none{ByteRange::Kind::kUnsatisfiable, 0, 0};
  if (lower(header.substr(0, kUnit.size())) != kUnit) {
    return whole;
  }
  const std::string_view range = trim(header.substr(kUnit.size()));
  const size_t dash = range.find('-');
  if (dash == std::string_view::npos) {
    return whole;
  }
  const std::string_view from = range.substr(0, dash);
  const std::string_view to = range.substr(dash + 1);
  const std::optional<uint64_t> first = parse_number(from);
  const std::optional<uint64_t> last = parse_number(to);
  if ((!first && !from.empty()) || (!last && !to.empty()) || (!first && !last)) {
    return whole;
  }
  if (!first) {  // the last bytes
    const uint64_t count = std::min(*last, size);
    return count == 0 ? none : ByteRange{ByteRange::Kind::kPart, size - count, count};
  }
  if (last && *last < *first) {
    return whole;
  }
  if (*first >= size) {
    return none;
  }
  const uint64_t end = last ? std::min(*last, size - 1) : size - 1;
  return {ByteRange::Kind::kPart, *first, end - *first + 1};
}

bool names_etag(std::string_view header, std::string_view etag) {
  while (!header.empty()) {
    const size_t comma = header.find(',');  // our own tags have none inside
    std::string_view tag = trim(header.substr(0, comma));
    if (tag.starts_with("W/")) {
      tag.remove_prefix(2);
    }
    if (tag == "*" || tag == etag) {
      return true;
    }
    header.remove_prefix(comma == std::string_view::npos ? header.size() : comma + 1);
  }
  return false;
}

std::string_view content_type(std::string_view path) {
  const size_t dot = path.rfind('.');
  const std::string suffix = dot == std::string_view::npos ? "" : lower(path.substr(dot));
  const auto* row = std::ranges::find(kContentTypes, suffix, &ContentType::suffix);
  return row != kContentTypes.end() ? row->type : "application/octet-stream";
}

bool is_loopback_host(std::string_view header) {
  const size_t bracket = header.find(']');
  const size_t colon = header.find(':', bracket == std::string_view::npos ? 0 : bracket);
  const std::string name = lower(header.substr(0, colon));
  const bool address =
      name.starts_with("127.") && name.find_first_not_of("0123456789.") == std::string::npos;
  return name == "localhost" || name.ends_with(".localhost") || name == "[::1]" || address;
}

}  // namespace lorapress
