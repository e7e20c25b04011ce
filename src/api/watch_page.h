// The page of a watch: the newest captions beside those before.
#ifndef LORAPRESS_API_WATCH_PAGE_H_
#define LORAPRESS_API_WATCH_PAGE_H_

#include <string_view>

namespace lorapress {

// A whole HTML document. It reads watch.json beside it every two seconds and puts all text from
// there into text nodes.
extern const std::string_view kWatchPage;

}  // namespace lorapress

#endif  // LORAPRESS_API_WATCH_PAGE_H_
