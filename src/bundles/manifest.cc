#include "bundles/manifest.h"

#include <algorithm>
#include <array>
#include <ranges>
#include <set>

#include "base/fail.h"
#include "bundles/manifest_1.h"
#include "bundles/manifest_generation.h"
#include "bundles/manifest_image.h"
#include "bundles/model_card.h"
#include "bundles/preferred_dtypes.h"
#include "schemes/scheme.h"

namespace lorapress {
namespace {

Json source_json(const Checkpoint& checkpoint) {
  Json adapters = Json::array();
  for (const AdapterSummary& adapter : checkpoint.adapters) {
    adapters.push_back({{"name", adapter.name},
                        {"r", adapter.r},
                        {"lora_alpha", adapter.lora_alpha},
                        {"weight", adapter.weight},
                        {"modules", adapter.modules}});
  }
  const std::filesystem::path folder = std::filesystem::weakly_canonical(checkpoint.folder);
  return with_base_models(checkpoint,
                          {{"checkpoint", folder.filename().string()}, {"adapters", adapters}});
}

Json model_json(const Checkpoint& checkpoint) {
  const TextConfig& text = checkpoint.text.value();
  Json json = {{"model_type", text.model_type},
               {"conditioning", kNoConditioning},
               {"text_model_type", text.model_type},
               {"hidden_size", text.hidden_size},
               {"vocab_size", text.vocab_size},
               {"num_hidden_layers", text.num_hidden_layers},
               {"num_attention_heads", text.num_attention_heads},
               {"num_key_value_heads", text.num_key_value_heads},
               {"head_dim", text.head_dim},
               {"max_position_embeddings", text.max_position_embeddings}};
  if (checkpoint.composite != nullptr) {
    json.update({{"model_type", checkpoint.composite->model_type},
                 {"conditioning", conditioning_name(checkpoint.composite->conditioning)},
                 {"vision_model_type", checkpoint.vision.value().model_type},
                 {"image_tokens", checkpoint.image_positions()}});
  }
  return json;
}

const Json& object(const Json& json, const char* key, const std::string& where) {
  const auto found = json.is_object() ? json.find(key) : json.end();
  if (found == json.end() || !found->is_object()) {
    fail(ErrorCode::kInvalidFile, "{}: \"{}\" is missing, expected an object", where, key);
  }
  return *found;
}

// Letters, digits and ._- in parts that do not begin with ._ or -: the same text as a path and as a
// URL, and never a path out of the folder.
void require_path(const std::string& path, const std::string& where) {
  constexpr size_t kMost = 255;
  char before = '/';
  bool plain = !path.empty() && path.size() <= kMost && path.back() != '/';
  for (const char c : path) {
    const bool word =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    plain = plain && (word || (before != '/' && (c == '/' || c == '.' || c == '-')));
    before = c;
  }
  if (!plain) {
    fail(ErrorCode::kInvalidFile,
         "{}: {} is not a path inside the folder",
         where,
         Json(path).dump(-1, ' ', true, Json::error_handler_t::replace).substr(0, kMost));
  }
}

std::array<double, 3> triple(const Json& json, const char* key, const std::string& where) {
  const auto found = json.find(key);
  std::array<double, 3> values{};
  if (found == json.end() || !found->is_array() || found->size() != values.size()) {
    fail(ErrorCode::kInvalidFile, "{}: \"{}\" is not three numbers", where, key);
  }
  for (size_t i = 0; i < values.size(); ++i) {
    if (!(*found)[i].is_number()) {
      fail(ErrorCode::kInvalidFile, "{}: \"{}\" is not three numbers", where, key);
    }
    values[i] = (*found)[i].get<double>();
  }
  return values;
}

Preprocessing parse_preprocessing(const Json& json, const std::string& where) {
  constexpr int64_t kMostPixels = 8192;
  const Json& size = object(json, "size", where);
  Preprocessing settings{"",
                         json_bounded(size, "height", 1, kMostPixels, where),
                         json_bounded(size, "width", 1, kMostPixels, where),
                         json_get<std::string>(json, "resample", where),
                         json_get<double>(json, "rescale_factor", where),
                         triple(json, "image_mean", where),
                         triple(json, "image_std", where),
                         0};
  if (json.contains("shortest_edge")) {
    settings.shortest_edge = json_bounded(
        json, "shortest_edge", std::max(settings.height, settings.width), kMostPixels, where);
  }
  if (!std::ranges::all_of(settings.image_std, [](double std) { return std > 0.0; })) {
    fail(ErrorCode::kInvalidFile, "{}: \"image_std\" is not three positive numbers", where);
  }
  if (!known_resample(settings.resample)) {
    fail(ErrorCode::kUnsupported, "{}: resample \"{}\" is not known", where, settings.resample);
  }
  return settings;
}

ManifestFile parse_file(const Json& json, const std::string& where) {
  ManifestFile file;
  file.path = json_get<std::string>(json, "path", where);
  require_path(file.path, where);
  file.bytes = static_cast<uint64_t>(json_bounded(json, "bytes", 0, int64_t{1} << 40, where));
  const auto digests = json.find("sha256");
  const uint64_t chunks = (file.bytes + kChunkBytes - 1) / kChunkBytes;
  if (digests == json.end() || !digests->is_array() || digests->size() != chunks) {
    fail(ErrorCode::kInvalidFile,
         "{}: {}: expected {} SHA-256 digests for {} bytes",
         where,
         file.path,
         chunks,
         file.bytes);
  }
  for (const Json& digest : *digests) {
    const bool hex = digest.is_string() && digest.get_ref<const std::string&>().size() == 64 &&
                     digest.get_ref<const std::string&>().find_first_not_of("0123456789abcdef") ==
                         std::string::npos;
    if (!hex) {
      fail(ErrorCode::kInvalidFile,
           "{}: {}: {} is not a SHA-256 digest",
           where,
           file.path,
           digest.dump().substr(0, 80));
    }
    file.sha256.push_back(digest.get<std::string>());
  }
  return file;
}

void parse_model(const Json& json, const std::string& where, Manifest& manifest) {
  constexpr int64_t kMost = 1 << 24;
  manifest.conditioning = json_or<std::string>(json, "conditioning", "prefix", where);
  constexpr std::array<std::string_view, 4> kKnown{
      "prefix", "cross", "placeholder", kNoConditioning};
  if (std::ranges::find(kKnown, manifest.conditioning) == kKnown.end()) {
    fail(ErrorCode::kUnsupported,
         "{}: \"conditioning\" is \"{}\", expected one of {}",
         where,
         manifest.conditioning.substr(0, 80),
         fmt::join(kKnown, ", "));
  }
  if (takes_images(manifest)) {
    manifest.image_tokens = json_bounded(json, "image_tokens", 1, kMost, where);
  }
  manifest.vocab_size = json_bounded(json, "vocab_size", 1, kMost, where);
  manifest.num_hidden_layers = json_bounded(json, "num_hidden_layers", 1, 4096, where);
  manifest.num_key_value_heads = json_bounded(json, "num_key_value_heads", 1, 4096, where);
  manifest.head_dim = json_bounded(json, "head_dim", 1, 65536, where);
  manifest.max_position_embeddings = json_bounded(json, "max_position_embeddings", 1, kMost, where);
  if (json.contains("image_token_id")) {
    manifest.image_token_id = json_bounded(json, "image_token_id", 0, kMost, where);
  }
}

// Absent in folders without either.
void parse_prompt(const Json& json, const std::string& where, Manifest& manifest) {
  if (json.contains("prompt")) {
    const Json& prompt = object(json, "prompt", where);
    manifest.prompt = json_or<std::string>(prompt, "default", "", where);
    manifest.chat_template = json_or<std::string>(prompt, "chat_template", "", where);
  }
}

void parse_graphs(const Json& json, const std::string& where, Manifest& manifest) {
  for (const auto& [dtype, roles] : json.items()) {
    for (const auto& [role, path] : object(json, dtype.c_str(), where).items()) {
      const auto file = json_get<std::string>(roles, role, where);
      require_path(file, where);
      manifest.graphs[dtype][role] = file;
    }
  }
  if (!manifest.graphs.contains(manifest.default_dtype)) {
    fail(ErrorCode::kInvalidFile,
         "{}: \"default_dtype\" is \"{}\", \"graphs\" does not have it",
         where,
         manifest.default_dtype);
  }
}

void parse_graph_files(const Json& json, const std::string& where, Manifest& manifest) {
  for (const auto& [path, facts] : json.items()) {
    require_path(path, where);
    manifest.graph_files[path] = parse_graph_file(facts, fmt::format("{}: {}", where, path));
  }
  for (const auto& [dtype, roles] : manifest.graphs) {
    for (const auto& [role, path] : roles) {
      if (!manifest.graph_files.contains(path)) {
        fail(ErrorCode::kInvalidFile, "{}: {} is none of \"graph_files\"", where, path);
      }
    }
  }
}

// Requires that every file that is run is listed in "files", each once, so that a client fetches and
// hashes all of them.
void check_files(const Json& json, const std::string& where, const Manifest& manifest) {
  std::set<std::string> listed;
  for (const ManifestFile& file : manifest.files) {
    if (file.path == kManifestName || !listed.insert(file.path).second) {
      fail(ErrorCode::kInvalidFile,
           "{}: {} is listed twice, or is the manifest itself",
           where,
           file.path);
    }
  }
  std::vector<std::string> used{
      json_get<std::string>(object(json, "tokenizer", where), "file", where)};
  if (!manifest.chat_template.empty()) {
    used.push_back(manifest.chat_template);
  }
  for (const auto& [dtype, roles] : manifest.graphs) {
    for (const auto& [role, path] : roles) {
      used.push_back(path);
    }
  }
  for (const auto& [path, facts] : manifest.graph_files) {
    used.push_back(path);
    std::ranges::copy(facts.external_data, std::back_inserter(used));
  }
  for (const std::string& path : used) {
    require_path(path, where);
    if (!listed.contains(path)) {
      fail(ErrorCode::kInvalidFile, "{}: {} is none of \"files\"", where, path);
    }
  }
}

}  // namespace

Json manifest_json(const BundleRequest& request,
                   const std::string& bundle_name,
                   const std::vector<std::string>& dtypes) {
  Json manifest = {{"format_version", kManifestVersion},
                   {"generator", std::string("lorapress ") + LORAPRESS_VERSION},
                   {"bundle", bundle_name},
                   {"source", source_json(request.checkpoint)},
                   {"model", model_json(request.checkpoint)},
                   {"ops", request.ops == OpDialect::kOrt ? "ort" : "standard"},
                   {"opset", request.opset},
                   {"tokenizer", {{"file", "tokenizer.json"}}},
                   {"default_dtype", dtypes.at(0)},
                   {"preferred_dtypes", preferred_dtypes_json(dtypes)},
                   {"chunk_bytes", kChunkBytes}};
  add_generation(request, manifest);
  if (!request.prompt.empty()) {
    manifest["prompt"]["default"] = request.prompt;
  }
  if (request.tokenizer.files.contains(kChatTemplate)) {
    manifest["prompt"]["chat_template"] = kChatTemplate;
  }
  add_image_place(request, bundle_name, manifest);
  return manifest;
}

Json manifest_file_json(const ManifestFile& file) {
  return {{"path", file.path}, {"bytes", file.bytes}, {"sha256", file.sha256}};
}

const GraphFile& graph_facts(const Manifest& manifest,
                             const std::string& dtype,
                             const std::string& role) {
  return manifest.graph_files.at(manifest.graphs.at(dtype).at(role));
}

uint64_t dtype_bytes(const Manifest& manifest, const std::string& dtype) {
  std::set<std::string> used;
  for (const auto& [role, path] : manifest.graphs.at(dtype)) {
    used.insert(path);
    const std::vector<std::string>& data = manifest.graph_files.at(path).external_data;
    used.insert(data.begin(), data.end());
  }
  uint64_t bytes = 0;
  for (const ManifestFile& file : manifest.files) {
    bytes += used.contains(file.path) ? file.bytes : 0;
  }
  return bytes;
}

Manifest read_manifest(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / kManifestName;
  if (!std::filesystem::exists(path)) {
    fail(ErrorCode::kNotFound,
         "{}: no {}; expected a folder that `lorapress press` wrote",
         folder.string(),
         kManifestName);
  }
  Manifest manifest = parse_manifest(read_json(path, uint64_t{64} << 20), path.string());
  if (manifest.format_version == 1) {
    read_graph_facts_1(folder, manifest);
  }
  return manifest;
}

Manifest parse_manifest(const Json& json, const std::string& where) {
  Manifest manifest;
  manifest.format_version = json_get<int64_t>(json, "format_version", where);
  if (manifest.format_version < 1 || manifest.format_version > kManifestVersion) {
    fail(ErrorCode::kUnsupported,
         "{}: format_version {}, this version reads 1 to {}; use the lorapress that wrote it",
         where,
         manifest.format_version,
         kManifestVersion);
  }
  if (json_bounded(json, "chunk_bytes", 1, int64_t{1} << 30, where) !=
      static_cast<int64_t>(kChunkBytes)) {
    fail(ErrorCode::kUnsupported,
         "{}: chunk_bytes is not {}; use the lorapress that wrote it",
         where,
         kChunkBytes);
  }
  manifest.bundle = json_get<std::string>(json, "bundle", where);
  manifest.default_dtype = json_get<std::string>(json, "default_dtype", where);
  parse_model(object(json, "model", where), where, manifest);
  read_generation(json, where, manifest);
  parse_prompt(json, where, manifest);
  if (takes_images(manifest)) {
    manifest.preprocessing = parse_preprocessing(object(json, "preprocessing", where), where);
    read_image_place(json, where, manifest);
  }
  parse_graphs(object(json, "graphs", where), where, manifest);
  const auto files = json.find("files");
  if (files == json.end() || !files->is_array() || files->size() > 4096) {
    fail(ErrorCode::kInvalidFile, "{}: \"files\" is not a list of at most 4096 files", where);
  }
  for (const Json& file : *files) {
    manifest.files.push_back(parse_file(file, where));
  }
  if (manifest.format_version > 1) {
    parse_graph_files(object(json, "graph_files", where), where, manifest);
    check_preferred_dtypes(object(json, "preferred_dtypes", where), where, manifest.graphs);
  }
  check_files(json, where, manifest);
  if (manifest.format_version == 1) {
    guess_graph_files_1(manifest);
  }
  return manifest;
}

}  // namespace lorapress
