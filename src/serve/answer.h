// From a request for a file to a reply, independent of the HTTP library.
#ifndef LORAPRESS_SERVE_ANSWER_H_
#define LORAPRESS_SERVE_ANSWER_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/system.h"
#include "serve/served_folder.h"

namespace lorapress {

struct Request {
  std::string_view method;
  std::string_view path;  // still escaped, without the query
  std::string_view host;  // these headers, empty where absent
  std::string_view range;
  std::string_view if_range;
  std::string_view if_none_match;
};

struct Reply {
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers;
  sys::Descriptor file;  // `count` of its bytes from `first` on are the body
  uint64_t first = 0;
  uint64_t count = 0;
  std::string text;  // otherwise the body is this text
};

// `loopback_only`: refuse requests under other host names, as a page whose own name resolves to this
// machine (DNS rebinding) would send.
Reply answer(const ServedFolder& folder, const Request& request, bool loopback_only);

}  // namespace lorapress

#endif  // LORAPRESS_SERVE_ANSWER_H_
