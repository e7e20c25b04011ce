#include "terminal.h"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <fmt/format.h>

#include "lorapress/error.h"

#include "system.h"

namespace lorapress::cli {
namespace {

volatile std::sig_atomic_t interrupted = 0;

void on_interrupt(int /*signal*/) {
  interrupted = 1;
}

void draw(const Progress& progress) {
  const double share = progress.total == 0 ? 1.0
                                           : static_cast<double>(progress.done) /
                                                 static_cast<double>(progress.total);
  const bool bytes = progress.phase == "write" || progress.phase == "fetch";
  const std::string counts =
      fmt::format(" {:3.0f} %  {} of {}",
                  share * 100.0,
                  bytes ? human_bytes(progress.done) : std::to_string(progress.done),
                  bytes ? human_bytes(progress.total) : std::to_string(progress.total));
  const size_t taken = progress.phase.size() + counts.size() + 4;
  const size_t width = terminal_width();
  const size_t cells = width > taken + 8 ? std::min<size_t>(width - taken, 50) : 0;
  const auto full = static_cast<size_t>(share * static_cast<double>(cells));
  fmt::print(stderr,
             "\r\033[K{} [{}{}]{}",
             progress.phase,
             std::string(full, '#'),
             std::string(cells - full, '.'),
             counts);
  std::fflush(stderr);
}

std::string scaled(double value, std::string_view base) {
  constexpr const char* kPrefixes[] = {"", "k", "M", "G", "T"};
  size_t prefix = 0;
  while (value >= 1000.0 && prefix < 4) {
    value /= 1000.0;
    ++prefix;
  }
  return prefix == 0 ? fmt::format("{:.0f} {}", value, base)
                     : fmt::format("{:.1f} {}{}", value, kPrefixes[prefix], base);
}

struct Character {
  uint32_t code;
  size_t size;  // in bytes; 0 for an invalid character
};

// The UTF-8 character at `at` (RFC 3629: no longer than needed, no surrogates).
Character character(std::string_view text, size_t at) {
  constexpr uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  const auto first = static_cast<unsigned char>(text[at]);
  const size_t size = first < 0x80         ? 1
                      : first >> 5 == 0x6  ? 2
                      : first >> 4 == 0xe  ? 3
                      : first >> 3 == 0x1e ? 4
                                           : 0;
  if (size == 0 || size > text.size() - at) {
    return {first, 0};
  }
  uint32_t code = size == 1 ? first : first & (0x7fU >> size);
  for (size_t i = 1; i < size; ++i) {
    const auto next = static_cast<unsigned char>(text[at + i]);
    if (next >> 6 != 0x2) {
      return {first, 0};
    }
    code = code << 6 | (next & 0x3fU);
  }
  const bool valid = code >= kLeast[size] && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
  return {code, valid ? size : 0};
}

}  // namespace

ProgressFn progress_bar(const std::string& message) {
  on_ending(on_interrupt);
  const bool visible = is_terminal(stderr);
  return [visible, message](const Progress& progress) {
    if (interrupted != 0) {
      throw Error(ErrorCode::kIo, message);
    }
    if (visible) {
      draw(progress);
    }
  };
}

void clear_progress() {
  if (is_terminal(stderr)) {
    fmt::print(stderr, "\r\033[K");
  }
}

std::string human_bytes(uint64_t bytes) {
  return scaled(static_cast<double>(bytes), "B");
}

std::string human_count(uint64_t count) {
  std::string text = scaled(static_cast<double>(count), "");
  return text.ends_with(' ') ? text.substr(0, text.size() - 1) : text;
}

std::string human_seconds(double seconds) {
  return fmt::format("{:.2f} s", seconds);
}

uint64_t peak_memory_bytes() {
  return peak_resident_bytes();
}

std::string printable(std::string_view text) {
  std::string safe;
  for (size_t at = 0; at < text.size();) {
    const auto [code, size] = character(text, at);
    const bool space = code == '\n' || code == '\t';
    const bool control = code < 0x20 || (code >= 0x7f && code < 0xa0);
    if (size == 0 || (control && !space)) {
      safe += '?';
    } else {
      safe += text.substr(at, size);
    }
    at += std::max<size_t>(size, 1);
  }
  return safe;
}

std::string one_line(std::string_view text) {
  std::string safe = printable(text);
  std::ranges::replace_if(safe, [](char c) { return c == '\n' || c == '\t'; }, ' ');
  return safe;
}

}  // namespace lorapress::cli
