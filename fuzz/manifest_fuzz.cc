// Any JSON is a lorapress.json or an Error; no path of what is accepted leaves the folder.

#include <algorithm>

#include "bundles/manifest.h"
#include "fuzz_util.h"

namespace {

using namespace lorapress;

void check_path(const std::string& path) {
  const auto clean = std::filesystem::path("/root/folder") / path;
  fuzz::require(clean.lexically_normal().string().starts_with("/root/folder"));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::expect_no_more_than_error([&] {
    const Manifest manifest = parse_manifest(parse_json(fuzz::as_text(data, size), "fuzz"), "fuzz");
    fuzz::require(manifest.graphs.contains(manifest.default_dtype));
    fuzz::require(!manifest.eos_token_ids.empty() && manifest.image_tokens >= 1);
    for (const ManifestFile& file : manifest.files) {
      check_path(file.path);
    }
    for (const auto& [dtype, roles] : manifest.graphs) {
      for (const auto& [role, path] : roles) {
        check_path(path);
        fuzz::require(manifest.graph_files.contains(path));
      }
    }
    for (const auto& [path, facts] : manifest.graph_files) {
      check_path(path);
      std::ranges::for_each(facts.external_data, check_path);
    }
  });
  return 0;
}
