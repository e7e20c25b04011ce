#include "bundles/manifest_image.h"

#include "base/fail.h"
#include "bundles/image_token.h"
#include "checkpoint/config_fields.h"

namespace lorapress {
namespace {

Json preprocessing_json(const Preprocessing& settings) {
  Json json{{"size", {{"height", settings.height}, {"width", settings.width}}},
            {"resample", settings.resample},
            {"rescale_factor", settings.rescale_factor},
            {"image_mean", settings.image_mean},
            {"image_std", settings.image_std}};
  if (settings.shortest_edge != 0) {
    json["shortest_edge"] = settings.shortest_edge;
  }
  return json;
}

Json splitting_json(const Preprocessing& settings) {
  const TileTokens& tokens = settings.splitting->tokens;
  return {{"enabled", settings.splitting->enabled},
          {"longest_edge", settings.splitting->longest_edge},
          {"tile_size", settings.height},
          {"resample", settings.resample},
          {"tokens",
           {{"image", tokens.image},
            {"around", tokens.around},
            {"global", tokens.global},
            {"tile", tokens.tile}}}};
}

// Texts that a prompt can hold many times.
TileTokens parse_tokens(const Json& splitting, const std::string& where) {
  constexpr size_t kLongest = 256;
  const auto found = splitting.find("tokens");
  if (found == splitting.end() || !found->is_object()) {
    fail(ErrorCode::kInvalidFile, "{}: \"tokens\" is missing, expected an object", where);
  }
  const auto token = [&](const char* key) {
    auto text = json_get<std::string>(*found, key, where);
    if (text.size() > kLongest) {
      fail(ErrorCode::kInvalidFile, "{}: \"{}\" is longer than {} bytes", where, key, kLongest);
    }
    return text;
  };
  return {token("image"), token("around"), token("global"), token("tile")};
}

}  // namespace

void add_image_place(const BundleRequest& request, const std::string& bundle_name, Json& manifest) {
  if (bundle_name == kLlava.name || bundle_name == kSmolvlm.name) {
    manifest["model"]["conditioning"] = conditioning_name(Conditioning::kPlaceholder);
    manifest["model"]["image_token_id"] = image_token(request.checkpoint, request.tokenizer).id;
  }
  if (request.checkpoint.vision) {
    manifest["preprocessing"] = preprocessing_json(request.preprocessing);
  }
  if (request.preprocessing.splitting) {
    manifest["image_splitting"] = splitting_json(request.preprocessing);
  }
}

void read_image_place(const Json& json, const std::string& where, Manifest& manifest) {
  constexpr int64_t kMostEdge = 4096;
  const auto found = json.find("image_splitting");
  if (found == json.end()) {
    return;
  }
  if (!found->is_object()) {
    fail(ErrorCode::kInvalidFile, "{}: \"image_splitting\" is not an object", where);
  }
  manifest.preprocessing.splitting =
      ImageSplitting{json_get<bool>(*found, "enabled", where),
                     config_fields::dimension(*found, "longest_edge", 1, where, kMostEdge),
                     parse_tokens(*found, where)};
  if (json_get<int64_t>(*found, "tile_size", where) != manifest.preprocessing.height ||
      manifest.preprocessing.width != manifest.preprocessing.height) {
    fail(ErrorCode::kInvalidFile,
         "{}: \"tile_size\" is not the height and width of \"size\"",
         where);
  }
}

}  // namespace lorapress
