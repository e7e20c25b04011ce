// lorapress.json: the contract between what LoraPress writes and what runs it, here and in the
// browser. docs/schema/lorapress.schema.json describes it; tests compare both with it.
#ifndef LORAPRESS_BUNDLES_MANIFEST_H_
#define LORAPRESS_BUNDLES_MANIFEST_H_

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "lorapress/generation_settings.h"

#include "base/json.h"
#include "bundles/bundle.h"
#include "bundles/graph_files.h"
#include "checkpoint/preprocessing.h"
#include "weights/stream.h"

namespace lorapress {

inline constexpr const char* kManifestName = "lorapress.json";
inline constexpr int64_t kManifestVersion = 2;
// "conditioning" of a decoder alone, whose manifest has neither image tokens nor preprocessing.
inline constexpr const char* kNoConditioning = "none";

struct ManifestFile {
  std::string path;  // relative to the folder, forward slashes, no ".."
  uint64_t bytes = 0;
  std::vector<std::string> sha256;  // lower-case hex, one per chunk_bytes
};

struct Manifest {
  std::string bundle;
  std::string default_dtype;
  std::string conditioning = "prefix";  // "cross", "placeholder", or "none"
  int64_t image_tokens = 0;             // of one image, or of one tile
  int64_t image_token_id = -1;          // placeholder conditioning: the id that stands for them
  // Whether the decoder attends to the image's tokens, which then are no positions of its own.
  [[nodiscard]] bool cross() const { return conditioning == "cross"; }
  int64_t vocab_size = 0;
  int64_t num_hidden_layers = 0;
  int64_t num_key_value_heads = 0;
  int64_t head_dim = 0;
  int64_t max_position_embeddings = 0;
  int64_t decoder_start_token_id = 0;
  std::vector<int64_t> eos_token_ids;
  int64_t max_new_tokens = 0;     // behind the image tokens
  GenerationSettings generation;  // all settings but max_new_tokens
  // Keys of `generation` and token ids that press was given in place of the checkpoint's own, with their values.
  Json overrides = Json::object();
  // Keys of `generation` that the decoder applies to its own logits; its ids then are one more cache.
  std::vector<std::string> rules_in_graph;
  Preprocessing preprocessing;
  std::string prompt;         // the folder's own; empty: none
  std::string chat_template;  // file; empty: none
  std::map<std::string, std::map<std::string, std::string>> graphs;  // dtype -> role -> file
  std::map<std::string, GraphFile> graph_files;  // every graph in `graphs`, by path
  std::vector<ManifestFile> files;
  int64_t format_version = kManifestVersion;
};

// Whether the folder's model sees an image; one that does not is a decoder alone.
inline bool takes_images(const Manifest& manifest) {
  return manifest.conditioning != kNoConditioning;
}
// The graph_files entry of a graph. REQUIRES: the dtype has that role.
const GraphFile& graph_facts(const Manifest& manifest,
                             const std::string& dtype,
                             const std::string& role);
// Size of the dtype's graphs and their external data, each file once. REQUIRES: the folder has the dtype.
uint64_t dtype_bytes(const Manifest& manifest, const std::string& dtype);

// Everything of the manifest but "graphs", "graph_files" and "files".
Json manifest_json(const BundleRequest& request,
                   const std::string& bundle_name,
                   const std::vector<std::string>& dtypes);
Json manifest_file_json(const ManifestFile& file);

// Throws kNotFound, kInvalidFile (a path that leaves the folder, a wrong size, an impossible
// number), kUnsupported (a newer format_version). Folders of version 1 are read as those of version 2:
// facts that their manifest lacks are derived (bundles/manifest_1.h).
Manifest read_manifest(const std::filesystem::path& folder);
// The same for a manifest without its folder.
Manifest parse_manifest(const Json& json, const std::string& where);

}  // namespace lorapress

#endif  // LORAPRESS_BUNDLES_MANIFEST_H_
