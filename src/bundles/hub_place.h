// Where a model lies on a hub: ORG/NAME/REVISION/FILE, by the rules of Firefox's loader, in the stricter of the
// forms that its versions have had (toolkit/components/ml: ModelHub.checkInput, PipelineOptions.validateRevision,
// FILE_REGEX).
#ifndef LORAPRESS_BUNDLES_HUB_PLACE_H_
#define LORAPRESS_BUNDLES_HUB_PLACE_H_

#include <filesystem>
#include <string>
#include <string_view>

namespace lorapress {

struct HubPlace {
  std::string model_id;           // ORG/NAME
  std::string revision = "main";  // or a version: v1, 1.0.0, 1.0.0-beta1
};

// Throws kInvalidArgument, naming the id or the revision, for what Firefox refuses.
void check_hub_place(const HubPlace& place);
// Whether a file of that name below the revision can be fetched: letters, digits, - _ in parts, and at most one
// extension of two to four letters at the end.
bool hub_takes_file(std::string_view path);
// hub/ORG/NAME/REVISION
std::filesystem::path hub_folder(const std::filesystem::path& hub, const HubPlace& place);

}  // namespace lorapress

#endif  // LORAPRESS_BUNDLES_HUB_PLACE_H_
