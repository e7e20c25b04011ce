// The parts of lorapress.json that say how tokens are chosen: "generation", "overrides", "rules_in_graph".
#ifndef LORAPRESS_BUNDLES_MANIFEST_GENERATION_H_
#define LORAPRESS_BUNDLES_MANIFEST_GENERATION_H_

#include <string>

#include "bundles/manifest.h"

namespace lorapress {

void add_generation(const BundleRequest& request, Json& manifest);
// Throws kInvalidFile. REQUIRES: manifest.vocab_size is read.
void read_generation(const Json& json, const std::string& where, Manifest& manifest);

}  // namespace lorapress

#endif  // LORAPRESS_BUNDLES_MANIFEST_GENERATION_H_
