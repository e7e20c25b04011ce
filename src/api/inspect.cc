#include "lorapress/inspect.h"

#include <algorithm>

#include "base/fail.h"
#include "base/file.h"
#include "base/json.h"
#include "bundles/manifest.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/folder.h"
#include "checkpoint/generation_config.h"
#include "checkpoint/generation_settings.h"
#include "families/family.h"
#include "graph/onnx_summary.h"

namespace lorapress {
namespace {

namespace fs = std::filesystem;

// Sums over tensors: parameters, bytes and bytes per dtype.
class Totals {
 public:
  void add(const Weight& weight) {
    bytes_ += weight.bytes();
    parameters_ += weight.bytes() / dtype_size(weight.dtype());
    dtypes_[std::string(dtype_name(weight.dtype()))] += weight.bytes();
    tensors_ += 1;
  }
  void store(Json& json) const {
    json["tensors"] = tensors_;
    json["parameters"] = parameters_;
    json["bytes"] = bytes_;
    json["dtypes"] = dtypes_;
  }

 private:
  size_t tensors_ = 0;
  uint64_t bytes_ = 0;
  uint64_t parameters_ = 0;
  std::map<std::string, uint64_t> dtypes_;
};

Json adapter_json(const AdapterSummary& adapter) {
  return {{"name", adapter.name},
          {"r", adapter.r},
          {"lora_alpha", adapter.lora_alpha},
          {"modules", adapter.modules},
          {"rslora", adapter.rslora},
          {"dora", adapter.dora},
          {"modules_to_save", adapter.replacements}};
}

Json vision_json(const VisionConfig& vision) {
  return {{"model_type", vision.model_type},
          {"hidden_size", vision.hidden_size},
          {"num_hidden_layers", vision.num_hidden_layers},
          {"num_attention_heads", vision.num_attention_heads},
          {"image_size", vision.image_size},
          {"patch_size", vision.patch_size},
          {"image_tokens", vision.tokens()}};
}

Json text_json(const TextConfig& text) {
  Json json = {{"model_type", text.model_type},
               {"hidden_size", text.hidden_size},
               {"num_hidden_layers", text.num_hidden_layers},
               {"num_attention_heads", text.num_attention_heads},
               {"num_key_value_heads", text.num_key_value_heads},
               {"vocab_size", text.vocab_size},
               {"max_position_embeddings", text.max_position_embeddings},
               {"tie_word_embeddings", text.tie_word_embeddings}};
  if (const auto* layers = std::get_if<LlamaLayers>(&text.layers)) {
    json["rope_type"] = layers->rope.rope_type;
  }
  return json;
}

// Only where a setting exists.
void store_generation(const GenerationSettings& settings, Json& json) {
  if (Json found = generation_settings_json(settings); !found.empty()) {
    json["generation"] = std::move(found);
  }
}

// What the checkpoint is, and what it can be pressed to.
void store_family(const Checkpoint& checkpoint, Json& json) {
  if (checkpoint.composite != nullptr) {
    json["family"] = checkpoint.composite->model_type;
    json["architecture"] = checkpoint.composite->architecture;
  } else if (checkpoint.text) {
    json["family"] = checkpoint.text->model_type;
    json["architecture"] = text_family(checkpoint.text->model_type).architecture;
  } else if (checkpoint.vision) {
    json["family"] = checkpoint.vision->model_type;
  }
  json["bundles"] = bundles_for(checkpoint);
}

Json inspect_checkpoint(const fs::path& path) {
  Source source;
  source.checkpoint = path;
  const Checkpoint checkpoint = open_checkpoint(source);
  Json json = {{"kind", "checkpoint"}};
  Totals totals;
  for (const auto& [name, tensor] : checkpoint.tensors) {
    totals.add(*tensor.weight);
  }
  totals.store(json);
  store_family(checkpoint, json);
  json["notes"] = checkpoint.notes;
  json["adapters"] = Json::array();
  for (const AdapterSummary& adapter : checkpoint.adapters) {
    json["adapters"].push_back(adapter_json(adapter));
  }
  if (checkpoint.vision) {
    json["vision"] = vision_json(*checkpoint.vision);
    json["vision"]["image_tokens"] = checkpoint.image_positions();
  }
  if (checkpoint.projection) {
    const ProjectionType type = checkpoint.projection->type;
    json["projection"] = {{"projection_type",
                           type == ProjectionType::kMlp            ? "mlp"
                           : type == ProjectionType::kPixelShuffle ? "pixel_shuffle"
                                                                   : "linear"}};
  }
  if (checkpoint.text) {
    json["text"] = text_json(*checkpoint.text);
    const GenerationConfig generation = read_generation_config(checkpoint);
    store_generation(generation.settings, json);
    std::ranges::copy(generation.notes, std::back_inserter(json["notes"]));
  }
  return json;
}

Json inspect_adapter(const fs::path& path) {
  const Adapter adapter = open_adapter(path, 1.0);
  Json json = {{"kind", "adapter"},
               {"base_model_name_or_path", adapter.config.base_model_name_or_path}};
  Totals totals;
  bool dora = false;
  for (const auto& [name, module] : adapter.modules) {
    for (const WeightPtr& weight :
         {module.a, module.b, module.b_bias, module.magnitude, module.diagonal}) {
      if (weight) {
        totals.add(*weight);
      }
    }
    dora = dora || module.magnitude != nullptr;
  }
  for (const TensorMap* tensors :
       {&adapter.replacements, &adapter.originals, &adapter.token_rows}) {
    for (const auto& [name, weight] : *tensors) {
      totals.add(*weight);
    }
  }
  totals.store(json);
  json["adapters"] = {adapter_json({path.string(),
                                    "",
                                    adapter.config.r,
                                    adapter.config.lora_alpha,
                                    1.0,
                                    adapter.modules.size(),
                                    adapter.replacements.size(),
                                    adapter.config.use_rslora,
                                    dora})};
  return json;
}

Json inspect_bundle(const fs::path& path) {
  const Manifest manifest = read_manifest(path);
  Json json = {{"kind", "bundle"},
               {"bundle", manifest.bundle},
               {"default_dtype", manifest.default_dtype},
               {"graphs", manifest.graphs},
               {"vocab_size", manifest.vocab_size},
               {"max_new_tokens", manifest.max_new_tokens}};
  if (takes_images(manifest)) {
    json["image_tokens"] = manifest.image_tokens;
  }
  store_generation(manifest.generation, json);
  uint64_t bytes = 0;
  json["files"] = Json::array();
  for (const ManifestFile& file : manifest.files) {
    bytes += file.bytes;
    json["files"].push_back({{"path", file.path}, {"bytes", file.bytes}});
  }
  json["bytes"] = bytes;
  return json;
}

Json inspect_onnx(const fs::path& path) {
  const OnnxSummary summary = summarise_onnx(path);
  const auto ports = [](const std::vector<OnnxSummary::Port>& list) {
    Json json = Json::array();
    for (const OnnxSummary::Port& port : list) {
      json.push_back({{"name", port.name}, {"type", port.type}});
    }
    return json;
  };
  return {{"kind", "onnx"},
          {"bytes", fs::file_size(path)},
          {"producer", summary.producer},
          {"ir_version", summary.ir_version},
          {"opsets", summary.opsets},
          {"operators", summary.operators},
          {"parameters", summary.parameters},
          {"dtypes", summary.dtype_bytes},
          {"external_files", summary.external_files},
          {"inputs", ports(summary.inputs)},
          {"outputs", ports(summary.outputs)}};
}

Json inspect_tensors(const fs::path& path) {
  Json json = {{"kind", "safetensors"}};
  Totals totals;
  for (const auto& [name, weight] : open_safetensors(path)) {
    totals.add(*weight);
  }
  totals.store(json);
  return json;
}

Json inspect_any(const fs::path& path) {
  if (path.empty()) {
    fail(ErrorCode::kInvalidArgument, "PATH is empty, expected the name of a file or folder");
  }
  if (!fs::exists(path)) {
    fail(ErrorCode::kNotFound, "{}: no such file or folder", path.string());
  }
  if (fs::is_directory(path)) {
    return fs::exists(path / kManifestName)   ? inspect_bundle(path)
           : fs::exists(path / "config.json") ? inspect_checkpoint(path)
           : fs::exists(path / "adapter_config.json")
               ? inspect_adapter(path)
               : inspect_checkpoint(path);  // reports what is missing
  }
  if (path.extension() == ".safetensors") {
    return inspect_tensors(path);
  }
  if (path.extension() == ".onnx") {
    return inspect_onnx(path);
  }
  fail(ErrorCode::kUnsupported,
       "{}: expected a folder, an .onnx or a .safetensors file",
       path.string());
}

}  // namespace

std::string inspect(const fs::path& path) {
  Json json = with_file_errors([&] { return inspect_any(path); });
  json["path"] = path.string();
  // Names inside an ONNX file and paths need not be UTF-8.
  return json.dump(2, ' ', false, Json::error_handler_t::replace);
}

}  // namespace lorapress
