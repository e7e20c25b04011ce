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

// The tokens are those of Idefics3Processor; runtimes expand "<image>" with them.
Json splitting_json(const Preprocessing& settings) {
  return {{"enabled", settings.splitting->enabled},
          {"longest_edge", settings.splitting->longest_edge},
          {"tile_size", settings.height},
          {"resample", settings.resample},
          {"tokens",
           {{"image", kImageToken},
            {"around", "<fake_token_around_image>"},
            {"global", "<global-img>"},
            {"tile", "<row_{row}_col_{col}>"}}}};
}

}  // namespace

void add_image_place(const BundleRequest& request, const std::string& bundle_name, Json& manifest) {
  if (bundle_name == kLlava.name || bundle_name == kSmolvlm.name) {
    manifest["model"]["conditioning"] = conditioning_name(Conditioning::kPlaceholder);
    manifest["model"]["image_token_id"] = image_token(request.tokenizer).id;
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
                     config_fields::dimension(*found, "longest_edge", 1, where, kMostEdge)};
  if (json_get<int64_t>(*found, "tile_size", where) != manifest.preprocessing.height ||
      manifest.preprocessing.width != manifest.preprocessing.height) {
    fail(ErrorCode::kInvalidFile,
         "{}: \"tile_size\" is not the height and width of \"size\"",
         where);
  }
}

}  // namespace lorapress
