// The part of lorapress.json that says how an image becomes pixels and tiles, and where it stands in a
// prompt: the id of the image token.
#ifndef LORAPRESS_BUNDLES_MANIFEST_IMAGE_H_
#define LORAPRESS_BUNDLES_MANIFEST_IMAGE_H_

#include <string>

#include "bundles/manifest.h"

namespace lorapress {

// Adds it to a manifest; nothing for a decoder alone.
void add_image_place(const BundleRequest& request, const std::string& bundle_name, Json& manifest);
// Throws kInvalidFile. REQUIRES: "model" is an object, and manifest.preprocessing is read.
void read_image_place(const Json& json, const std::string& where, Manifest& manifest);

}  // namespace lorapress

#endif  // LORAPRESS_BUNDLES_MANIFEST_IMAGE_H_
