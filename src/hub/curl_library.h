// libcurl, opened when something is fetched: the program starts without it and without the two dozen libraries behind it,
// and one build runs wherever a system has it, with this system's certificates.
#ifndef LORAPRESS_HUB_CURL_LIBRARY_H_
#define LORAPRESS_HUB_CURL_LIBRARY_H_

#define CURL_DISABLE_DEPRECATION
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>

namespace lorapress {

// The calls of libcurl that http.cc makes, under their own names.
struct CurlLibrary {
  decltype(&::curl_global_init) global_init;
  decltype(&::curl_easy_init) easy_init;
  decltype(&::curl_easy_reset) easy_reset;
  decltype(&::curl_easy_setopt) easy_setopt;
  decltype(&::curl_easy_getinfo) easy_getinfo;
  decltype(&::curl_easy_perform) easy_perform;
  decltype(&::curl_easy_strerror) easy_strerror;
  decltype(&::curl_easy_cleanup) easy_cleanup;
  decltype(&::curl_slist_append) slist_append;
  decltype(&::curl_slist_free_all) slist_free_all;
};

// Opened and set up with the first call: LORAPRESS_CURL, or what the system names libcurl.so.4 (also the one of GnuTLS),
// libcurl.4.dylib, libcurl-x64.dll (or -4, or neither).
// Throws kUnsupported where it cannot be opened, naming what was looked for.
const CurlLibrary& curl_library();

}  // namespace lorapress

#endif  // LORAPRESS_HUB_CURL_LIBRARY_H_
