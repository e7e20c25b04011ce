#include "checkpoint/checkpoint.h"

#include "base/fail.h"
#include "base/file.h"
#include "checkpoint/folder.h"
#include "checkpoint/quantized.h"
#include "checkpoint/resolve.h"
#include "weights/residual.h"

namespace lorapress {
namespace {

constexpr std::string_view kEmbedding = "language_model.model.embed_tokens.weight";
constexpr std::string_view kHead = "language_model.lm_head.weight";

// Buffers that older transformers versions saved; they are computed from the config.
bool is_buffer(std::string_view name) {
  return name.ends_with(".position_ids") || name.ends_with(".rotary_emb.inv_freq") ||
         name.ends_with(".masked_bias");
}

// Adapter settings inside a trainer's folder: its adapter_config.json, else the config's lora_
// keys.
AdapterConfig embedded_adapter_config(const ModelFolder& model) {
  const std::filesystem::path own = model.path / "adapter_config.json";
  if (std::filesystem::exists(own)) {
    return parse_adapter_config(read_text(own, kMaxJson), own.string());
  }
  const std::filesystem::path trainer = model.path / "config.json";
  return parse_trainer_config(read_text(trainer, kMaxJson), trainer.string());
}

// lora_bias=True trains a bias in lora_B that merging adds to the base's.
void merge_biases(const Adapter& adapter, Checkpoint& checkpoint) {
  for (const auto& [name, module] : adapter.modules) {
    if (!module.b_bias) {
      continue;
    }
    const std::string bias =
        name.substr(0, name.size() - std::string_view("weight").size()) + "bias";
    const auto base = checkpoint.tensors.find(bias);
    if (base == checkpoint.tensors.end()) {
      fail(ErrorCode::kMismatch,
           "{}: lora_B has a bias, but the base model has no {}; the adapter was trained for "
           "another "
           "base model",
           adapter.where,
           bias);
    }
    if (base->second.weight->shape() != module.b_bias->shape()) {
      fail(ErrorCode::kMismatch,
           "{}: {}: the bias of lora_B is [{}], the base has [{}]; the adapter was trained for "
           "another base model",
           adapter.where,
           bias,
           fmt::join(module.b_bias->shape(), ", "),
           fmt::join(base->second.weight->shape(), ", "));
    }
    base->second.weight = add_scaled(base->second.weight, module.b_bias, adapter.scaling(module));
    base->second.adapted = true;
  }
}

class Assembler {
 public:
  explicit Assembler(Checkpoint& checkpoint) : checkpoint_(checkpoint) {}

  void add_model(const ModelFolder& model) {
    std::map<std::string, Adapter> embedded;
    std::map<std::string, std::string> spelled;  // canonical -> raw
    std::set<std::string> earlier;               // from folders before this one
    for (const auto& [name, tensor] : checkpoint_.tensors) {
      earlier.insert(name);
    }
    check_quantization(model.config, (model.path / "config.json").string());
    for (auto& [raw, weight] :
         dequantized(open_model_folder(model.path), model.path.string(), checkpoint_.notes)) {
      const auto name = parse_tensor_name(raw, model.layout);
      if (!name) {
        if (model.layout == Layout::kComposite) {
          strangers_.push_back(raw);
        }
        continue;
      }
      if (is_buffer(name->canonical)) {
        continue;
      }
      if (name->role == TensorRole::kBase) {
        // Earlier folders win; modules_to_save keeps the untouched copy as original_module.
        checkpoint_.tensors.try_emplace(
            name->canonical,
            ModelTensor{weight, name->merged, false, nullptr, model.path.string()});
        const auto [other, is_new] = spelled.emplace(name->canonical, raw);
        if (!is_new) {
          fail(ErrorCode::kInvalidFile,
               "{}: {} and {} are the same tensor under two names; keep one of them",
               model.path.string(),
               other->second,
               raw);
        }
      } else {
        Adapter& adapter = embedded[name->adapter];
        adapter.where = model.path.string();
        adapter.add(*name, weight);
      }
    }
    for (auto& [name, adapter] : embedded) {
      for (auto& [key, module] : adapter.modules) {
        module.own_base = spelled.contains(key);
      }
    }
    drop_foreign(model, earlier, embedded);
    choose_embedded(model, std::move(embedded));
    if (!strangers_.empty()) {
      fail(ErrorCode::kMismatch,
           "{}: {} tensors belong to no part of the model (vision_encoder, projection, "
           "language_model): {}",
           model.path.string(),
           strangers_.size(),
           listed(strangers_));
    }
  }

  void tie(const TextConfig& text) {
    auto& tensors = checkpoint_.tensors;
    const auto head = tensors.find(std::string(kHead));
    if (!text.tie_word_embeddings || head == tensors.end()) {
      return;
    }
    const bool both = tensors.contains(std::string(kEmbedding));
    if (!both) {  // either name of a tied pair may be the one that was kept
      tensors[std::string(kEmbedding)] = {head->second.weight, std::string(kEmbedding)};
    }
    tensors.erase(head);
  }

  // Adapters found inside models, once all base tensors are known.
  void merge_embedded() {
    for (const Adapter& adapter : pending_) {
      merge(adapter);
    }
  }

  void merge(const Adapter& adapter) {
    adapter.check();
    std::vector<std::string> homeless;
    bool dora = false;
    for (const auto& [name, replacement] : adapter.replacements) {
      const auto base = checkpoint_.tensors.find(name);
      if (base != checkpoint_.tensors.end() &&
          base->second.weight->shape() != replacement->shape()) {
        fail(ErrorCode::kMismatch,
             "{}: {} is [{}], the base has [{}]; the adapter was trained for another base",
             adapter.where,
             name,
             fmt::join(replacement->shape(), ", "),
             fmt::join(base->second.weight->shape(), ", "));
      }
      if (base == checkpoint_.tensors.end() && name != kHead && name != kEmbedding) {
        homeless.push_back(name);
        continue;
      }
      const std::string merged = base == checkpoint_.tensors.end() ? name : base->second.name;
      checkpoint_.tensors[name] = {replacement, merged, true};
    }
    for (const auto& [name, module] : adapter.modules) {
      const auto base = checkpoint_.tensors.find(name);
      if (base == checkpoint_.tensors.end()) {
        homeless.push_back(name);
        continue;
      }
      merge_module(adapter, module, name, base->second);
      dora = dora || module.magnitude != nullptr;
    }
    if (!homeless.empty()) {
      fail(ErrorCode::kMismatch,
           "{}: the base model has no {}; the adapter was trained for another base model",
           adapter.where,
           listed(homeless));
    }
    merge_biases(adapter, checkpoint_);
    for (const std::string& note : adapter.config.notes) {
      checkpoint_.notes.push_back(note);
    }
    checkpoint_.adapters.push_back({adapter.where,
                                    adapter.name,
                                    adapter.config.r,
                                    adapter.config.lora_alpha,
                                    adapter.weight,
                                    adapter.modules.size(),
                                    adapter.replacements.size(),
                                    adapter.config.use_rslora,
                                    dora});
  }

 private:
  // A base folder's own adapter is for the base folder's own tensors.
  void drop_foreign(const ModelFolder& model,
                    const std::set<std::string>& earlier,
                    std::map<std::string, Adapter>& embedded) {
    size_t dropped = 0;
    const auto foreign = [&](const auto& entry) { return earlier.contains(entry.first); };
    for (auto& [name, adapter] : embedded) {
      dropped += std::erase_if(adapter.modules, foreign);
      dropped += std::erase_if(adapter.replacements, foreign);
    }
    std::erase_if(embedded, [](const auto& entry) {
      return entry.second.modules.empty() && entry.second.replacements.empty();
    });
    if (dropped != 0) {
      checkpoint_.notes.push_back(fmt::format(
          "{} adapter modules inside {} left out: the tensors are from a folder before it",
          dropped,
          model.path.string()));
    }
  }

  void choose_embedded(const ModelFolder& model, std::map<std::string, Adapter> embedded) {
    if (embedded.empty()) {
      return;
    }
    auto chosen = embedded.size() == 1 ? embedded.begin() : embedded.find("default");
    if (chosen == embedded.end()) {
      std::vector<std::string> names;
      for (const auto& [name, adapter] : embedded) {
        names.push_back(name);
      }
      fail(ErrorCode::kUnsupported,
           "{}: holds the adapters {} and none is called \"default\"; save the one to press",
           model.path.string(),
           fmt::join(names, ", "));
    }
    for (const auto& [name, adapter] : embedded) {
      if (name != chosen->first) {
        checkpoint_.notes.push_back(
            fmt::format("adapter \"{}\" ignored, \"{}\" is the active one", name, chosen->first));
      }
    }
    chosen->second.name = chosen->first;
    chosen->second.config = embedded_adapter_config(model);
    pending_.push_back(std::move(chosen->second));
  }

  static void merge_module(const Adapter& adapter,
                           const AdapterModule& module,
                           const std::string& name,
                           ModelTensor& tensor) {
    try {
      if (!tensor.unmerged) {
        tensor.unmerged = tensor.weight;
      }
      const WeightPtr trained = adapter.trained_base(module, name, tensor.unmerged);
      if (trained != tensor.unmerged) {
        tensor.weight = tensor.weight == tensor.unmerged
                            ? trained
                            : moved_by(tensor.weight, tensor.unmerged, trained);
        tensor.unmerged = trained;
      }
      tensor.weight = merge_lora(tensor.weight, adapter.delta(module), tensor.unmerged);
    } catch (const Error& error) {
      throw Error(error.code(), adapter.where + ": " + name + ": " + error.what());
    }
    tensor.adapted = true;
  }

  Checkpoint& checkpoint_;
  std::vector<Adapter> pending_;
  std::vector<std::string> strangers_;
};

}  // namespace

Checkpoint open_checkpoint(const Source& source) {
  const ResolvedSource resolved = resolve_source(source);
  Checkpoint checkpoint;
  checkpoint.folder = source.checkpoint;
  checkpoint.config = resolved.models[0].config;
  resolve_configs(resolved, checkpoint);
  for (Json* config : {&checkpoint.config, &checkpoint.vision_json, &checkpoint.text_json}) {
    drop_quantization(*config);
  }
  Assembler assembler(checkpoint);
  for (const ModelFolder& model : resolved.models) {
    checkpoint.folders.push_back(model.path);
    if (model.has_tensors) {
      assembler.add_model(model);
    }
  }
  if (checkpoint.text) {
    assembler.tie(*checkpoint.text);
  }
  assembler.merge_embedded();
  for (const AdapterSource& folder : resolved.adapters) {
    const Adapter adapter = open_adapter(folder.folder, folder.weight);
    assembler.merge(adapter);
    checkpoint.folders.push_back(folder.folder);
  }
  return checkpoint;
}

}  // namespace lorapress
