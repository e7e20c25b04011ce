// The library that serves: only server.cc sees its header.
#ifndef LORAPRESS_SERVE_LIBRARY_H_
#define LORAPRESS_SERVE_LIBRARY_H_

#include <string>

namespace lorapress {

std::string server_library_version();  // of libmicrohttpd, as "0.9.75"

}  // namespace lorapress

#endif  // LORAPRESS_SERVE_LIBRARY_H_
