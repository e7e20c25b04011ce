// Layouts that differ in names and places alone, for code that runs their graphs.
#ifndef LORAPRESS_BUNDLES_LAYOUT_H_
#define LORAPRESS_BUNDLES_LAYOUT_H_

#include <string_view>

#include "bundles/bundle.h"

namespace lorapress {

// Whether the bundle's graphs and files are those of bundle "transformers.js".
inline bool has_transformers_js_layout(std::string_view bundle) {
  return bundle == kTransformersJs.name || bundle == kFirefox.name;
}

}  // namespace lorapress

#endif  // LORAPRESS_BUNDLES_LAYOUT_H_
