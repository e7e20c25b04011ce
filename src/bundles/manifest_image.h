// The part of lorapress.json that says where the image stands in a prompt: conditioning, the id of the
// image token, and how an image becomes tiles.
#ifndef LORAPRESS_BUNDLES_MANIFEST_IMAGE_H_
#define LORAPRESS_BUNDLES_MANIFEST_IMAGE_H_

#include <string>

#include "bundles/manifest.h"

namespace lorapress {

// Adds it to a manifest; nothing for bundles without image tokens.
void add_image_place(const BundleRequest& request, const std::string& bundle_name, Json& manifest);
// Throws kInvalidFile. REQUIRES: "model" is an object, and manifest.preprocessing is read.
void read_image_place(const Json& json, const std::string& where, Manifest& manifest);

}  // namespace lorapress

#endif  // LORAPRESS_BUNDLES_MANIFEST_IMAGE_H_
