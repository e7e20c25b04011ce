#include "hub/curl_library.h"

#include <cstdlib>
#include <string>
#include <vector>

#include "base/fail.h"
#include "base/system.h"

namespace lorapress {
namespace {

#if defined(__APPLE__)
constexpr const char* kNames[] = {"libcurl.4.dylib"};
#elif defined(_WIN32)
constexpr const char* kNames[] = {"libcurl-x64.dll", "libcurl-4.dll", "libcurl.dll"};
#else
constexpr const char* kNames[] = {"libcurl.so.4", "libcurl-gnutls.so.4"};
#endif

void* open_any() {
  std::vector<std::string> names(std::begin(kNames), std::end(kNames));
  if (const char* given = std::getenv("LORAPRESS_CURL"); given != nullptr && *given != '\0') {
    names = {given};  // no fallback: if this one does not open, that is an error
  }
  std::string why;
  for (const std::string& name : names) {
    std::string reason;
    if (void* handle = sys::open_library(name, reason)) {
      return handle;
    }
    why += std::string(why.empty() ? "" : "; ") + reason;
  }
  fail(
      ErrorCode::kUnsupported,
      "libcurl cannot be opened ({}); install it (Debian: libcurl4), or fetch the folder with the hub's own client "
      "(hf download) and name it",
      why);
}

template <typename Function>
void find(void* handle, const char* name, Function& function) {
  function = reinterpret_cast<Function>(sys::library_symbol(handle, name));
  if (function == nullptr) {
    fail(ErrorCode::kUnsupported, "libcurl has no {}, expected version 7.85 or newer", name);
  }
}

CurlLibrary open_library() {
  void* handle = open_any();
  CurlLibrary curl{};
  find(handle, "curl_global_init", curl.global_init);
  find(handle, "curl_easy_init", curl.easy_init);
  find(handle, "curl_easy_reset", curl.easy_reset);
  find(handle, "curl_easy_setopt", curl.easy_setopt);
  find(handle, "curl_easy_getinfo", curl.easy_getinfo);
  find(handle, "curl_easy_perform", curl.easy_perform);
  find(handle, "curl_easy_strerror", curl.easy_strerror);
  find(handle, "curl_easy_cleanup", curl.easy_cleanup);
  find(handle, "curl_slist_append", curl.slist_append);
  find(handle, "curl_slist_free_all", curl.slist_free_all);
  if (curl.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
    fail(ErrorCode::kRuntime, "libcurl cannot be set up");
  }
  return curl;
}

}  // namespace

const CurlLibrary& curl_library() {
  static const CurlLibrary kOpened = open_library();
  return kOpened;
}

}  // namespace lorapress
