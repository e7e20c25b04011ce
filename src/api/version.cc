#include "lorapress/version.h"

#include <Eigen/Core>
#include <algorithm>
#include <cstdio>
#include <fmt/format.h>
#include <gif_lib.h>
#include <google/protobuf/stubs/common.h>
#include <jpeglib.h>
#include <lorapress_tokenizer.h>
#include <nlohmann/json.hpp>
#include <png.h>
#include <string_view>
#include <tiffvers.h>
#include <webp/decode.h>
#define PCRE2_CODE_UNIT_WIDTH 8

#include "base/pcre2_library.h"
#include "serve/library.h"

#define LORAPRESS_TEXT(value) #value
#define LORAPRESS_TEXT_OF(macro) LORAPRESS_TEXT(macro)

namespace lorapress {
namespace {

#if defined(__linux__)
constexpr std::string_view kSystem = "linux";
#elif defined(__APPLE__)
constexpr std::string_view kSystem = "macos";
#elif defined(_WIN32)
constexpr std::string_view kSystem = "windows";
#else
constexpr std::string_view kSystem = "unknown";
#endif
#if defined(__x86_64__)
constexpr std::string_view kProcessor = "x86_64";
#elif defined(__aarch64__)
constexpr std::string_view kProcessor = "aarch64";
#else
constexpr std::string_view kProcessor = "unknown";
#endif
#if defined(__clang__)
constexpr std::string_view kCompiler =
    "clang " LORAPRESS_TEXT_OF(__clang_major__) "." LORAPRESS_TEXT_OF(
        __clang_minor__) "." LORAPRESS_TEXT_OF(__clang_patchlevel__);
#else
constexpr std::string_view kCompiler = "gcc " __VERSION__;
#endif

std::string dotted(int major, int minor, int patch) {
  return fmt::format("{}.{}.{}", major, minor, patch);
}

// Of 0x010204: as libwebp numbers itself.
std::string webp_version() {
  const int packed = WebPGetDecoderVersion();
  return dotted(packed >> 16, packed >> 8 & 0xff, packed & 0xff);
}

// What stands between `before` and the next quote; `text` continues after it. Empty: not there.
std::string_view quoted(std::string_view& text, std::string_view before) {
  const size_t at = text.find(before);
  if (at == std::string_view::npos) {
    text = {};
    return {};
  }
  text.remove_prefix(at + before.size());
  const std::string_view value = text.substr(0, text.find('"'));
  text.remove_prefix(value.size());
  return value;
}

// The crates that the tokenizer names as its dependencies, with the versions of Cargo.lock.
std::vector<Dependency> crates() {
  const std::string_view lock = lp_tokenizer_lock();
  std::string_view own = lock.substr(lock.find("name = \"lorapress-tokenizer\""));
  own = own.substr(0, own.find(']'));
  std::vector<Dependency> found;
  for (std::string_view name = quoted(own, "\n \""); !name.empty(); name = quoted(own, "\n \"")) {
    std::string_view entry = lock.substr(lock.find(fmt::format("name = \"{}\"\n", name)));
    found.push_back({std::string(name), std::string(quoted(entry, "version = \""))});
  }
  return found;
}

}  // namespace

BuildInfo build_info() {
  BuildInfo info;
  info.version = LORAPRESS_VERSION;
  info.target = fmt::format("{} {}", kSystem, kProcessor);
  info.compiler = kCompiler;
  info.dependencies = {
      {"eigen", dotted(EIGEN_WORLD_VERSION, EIGEN_MAJOR_VERSION, EIGEN_MINOR_VERSION)},
      {"fmt", dotted(FMT_VERSION / 10000, FMT_VERSION / 100 % 100, FMT_VERSION % 100)},
      {"giflib", dotted(GIFLIB_MAJOR, GIFLIB_MINOR, GIFLIB_RELEASE)},
      {"libjpeg-turbo", LORAPRESS_TEXT_OF(LIBJPEG_TURBO_VERSION)},
      {"libmicrohttpd", server_library_version()},
      {"libpng", PNG_LIBPNG_VER_STRING},
      {"libtiff", dotted(TIFFLIB_MAJOR_VERSION, TIFFLIB_MINOR_VERSION, TIFFLIB_MICRO_VERSION)},
      {"libwebp", webp_version()},
      {"nlohmann-json",
       dotted(
           NLOHMANN_JSON_VERSION_MAJOR, NLOHMANN_JSON_VERSION_MINOR, NLOHMANN_JSON_VERSION_PATCH)},
      {"onnx", LORAPRESS_ONNX_VERSION},
      {"pcre2", fmt::format("{}.{}", PCRE2_MAJOR, PCRE2_MINOR)},
      {"protobuf", google::protobuf::internal::VersionString(GOOGLE_PROTOBUF_VERSION)},
  };
  for (Dependency& crate : crates()) {
    info.dependencies.push_back(std::move(crate));
  }
  std::ranges::sort(info.dependencies, {}, &Dependency::name);
  return info;
}

}  // namespace lorapress
