#include "api/pressed_folder.h"

#include "base/fail.h"
#include "base/file.h"
#include "base/json.h"
#include "bundles/manifest.h"
#include "bundles/model_card.h"

namespace lorapress {

std::string card_of_folder(const std::filesystem::path& folder,
                           const ModelCardOptions& options,
                           const HubPlace& place) {
  constexpr uint64_t kMost = uint64_t{64} << 20;
  const bool says_more =
      !options.report.empty() || !options.license.empty() || !options.base_model.empty();
  if (!says_more && std::filesystem::is_regular_file(folder / kModelCard)) {
    return read_text(folder / kModelCard, kMost);
  }
  CardFacts facts{place, options.license, options.base_model, {}};
  if (!options.report.empty()) {
    facts.report = read_json(options.report, kMost);
  }
  return model_card(read_json(folder / kManifestName, kMost), facts);
}

void require_whole(const std::filesystem::path& folder, const ManifestFile& file) {
  const std::filesystem::path path = folder / file.path;
  if (!std::filesystem::is_regular_file(path) || std::filesystem::file_size(path) != file.bytes) {
    fail(ErrorCode::kInvalidFile,
         "{}: missing, or not of the {} bytes that {} says; press it again",
         path.string(),
         file.bytes,
         kManifestName);
  }
}

}  // namespace lorapress
