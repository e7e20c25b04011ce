// What deploy() and upload() ask of a folder that press() wrote.
#ifndef LORAPRESS_API_PRESSED_FOLDER_H_
#define LORAPRESS_API_PRESSED_FOLDER_H_

#include <filesystem>
#include <string>

#include "lorapress/deploy.h"

#include "bundles/hub_place.h"
#include "bundles/manifest.h"

namespace lorapress {

// The folder's own README.md, or, where it has none or an option says more, a new one. Throws what model_card()
// throws, kNotFound for a missing report.
std::string card_of_folder(const std::filesystem::path& folder,
                           const ModelCardOptions& options,
                           const HubPlace& place = {});

// Throws kInvalidFile where the folder does not have the file in the size that its lorapress.json says.
void require_whole(const std::filesystem::path& folder, const ManifestFile& file);

}  // namespace lorapress

#endif  // LORAPRESS_API_PRESSED_FOLDER_H_
