// The model card of a folder, README.md: front matter that hubs read, and what was measured of the folder, for people.
#ifndef LORAPRESS_BUNDLES_MODEL_CARD_H_
#define LORAPRESS_BUNDLES_MODEL_CARD_H_

#include <string>
#include <vector>

#include "base/json.h"
#include "bundles/hub_place.h"
#include "checkpoint/checkpoint.h"

namespace lorapress {

inline constexpr const char* kModelCard = "README.md";

struct CardFacts {
  HubPlace place = {};                        // model_id empty: not known
  std::string license = {};                   // an identifier such as apache-2.0; empty: not known
  std::vector<std::string> base_models = {};  // ids on a hub; empty: those that the manifest names
  Json report = {};                           // of `lorapress verify --json`; null: none
};

// Of a valid lorapress.json. Numbers come from it and from the report alone; what neither says is left out.
// Throws kInvalidFile for a report that `verify --json` did not write, or one of none of the folder's dtypes.
std::string model_card(const Json& manifest, const CardFacts& facts);

// The models on a hub that the checkpoint's configs name as the ones it was made from, each once: ORG/NAME.
std::vector<std::string> named_base_models(const Checkpoint& checkpoint);
// A manifest's "source" with them, where there are any.
Json with_base_models(const Checkpoint& checkpoint, Json source);

// Throws kInvalidArgument for an option that would not be one line of the front matter.
void check_card_facts(const CardFacts& facts);

}  // namespace lorapress

#endif  // LORAPRESS_BUNDLES_MODEL_CARD_H_
