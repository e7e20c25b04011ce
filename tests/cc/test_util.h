// Helpers of unit and golden tests: folders that vanish, seeded numbers, errors as values.
#ifndef LORAPRESS_TESTS_CC_TEST_UTIL_H_
#define LORAPRESS_TESTS_CC_TEST_UTIL_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <gtest/gtest.h>
#include <random>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "lorapress/error.h"

#include "base/file.h"

namespace lorapress::test {

namespace fs = std::filesystem;

// Stands in for what an application may replace.
inline const Replaceable kMarked{
    [](const fs::path& folder) { return fs::exists(folder / "marker"); }, "one with a marker"};

inline fs::path source_path(const std::string& relative) {
  return fs::path(LORAPRESS_SOURCE_DIR) / relative;
}

// A new folder, removed with everything in it.
class TempFolder {
 public:
  TempFolder() {
    std::string name = (fs::temp_directory_path() / "lorapress-test-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) {
      throw std::system_error(errno, std::generic_category(), name);
    }
    path_ = name;
  }
  ~TempFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  [[nodiscard]] const fs::path& path() const { return path_; }
  [[nodiscard]] fs::path operator/(const std::string& name) const { return path_ / name; }

  // Names of what lies directly inside, hidden ones too, sorted.
  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const auto& entry : fs::directory_iterator(path_)) {
      found.push_back(entry.path().filename().string());
    }
    std::ranges::sort(found);
    return found;
  }

 private:
  fs::path path_;
};

// The same numbers on every platform: the standard fixes the engine, but no distribution.
class Random {
 public:
  explicit Random(uint32_t seed) : engine_(seed) {}

  // From 0 to below - 1.
  int64_t below(int64_t limit) {
    return static_cast<int64_t>(engine_() % static_cast<uint64_t>(limit));
  }
  int64_t between(int64_t first, int64_t last) { return first + below(last - first + 1); }
  // In [-1, 1).
  float number() { return static_cast<float>(engine_()) / 2147483648.0F - 1.0F; }

  std::vector<float> numbers(size_t count, float scale = 1.0F) {
    std::vector<float> values(count);
    for (float& value : values) {
      value = number() * scale;
    }
    return values;
  }
  std::vector<std::byte> bytes(size_t count) {
    std::vector<std::byte> values(count);
    for (std::byte& value : values) {
      value = static_cast<std::byte>(engine_() & 0xff);
    }
    return values;
  }

 private:
  std::mt19937 engine_;
};

// The message of the Error that `call` throws; a failure when it throws none or another code.
template <typename Call>
std::string message_of(ErrorCode code, Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_EQ(std::string_view(error.what()).find('\n'), std::string_view::npos) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no error";
  return {};
}

inline bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// An environment variable with another value, as long as this lives.
class ScopedVariable {
 public:
  ScopedVariable(std::string name, const std::string& value) : name_(std::move(name)) {
    if (const char* old = std::getenv(name_.c_str())) {
      had_ = true;
      old_ = old;
    }
    ::setenv(name_.c_str(), value.c_str(), 1);
  }
  ~ScopedVariable() { had_ ? ::setenv(name_.c_str(), old_.c_str(), 1) : ::unsetenv(name_.c_str()); }
  ScopedVariable(const ScopedVariable&) = delete;
  ScopedVariable& operator=(const ScopedVariable&) = delete;

 private:
  std::string name_;
  std::string old_;
  bool had_ = false;
};

}  // namespace lorapress::test

#endif  // LORAPRESS_TESTS_CC_TEST_UTIL_H_
