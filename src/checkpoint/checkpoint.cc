#include "checkpoint/checkpoint.h"

#include <algorithm>
#include <array>

#include "base/fail.h"
#include "base/file.h"
#include "checkpoint/folder.h"
#include "checkpoint/resolve.h"

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
  const std::string where = (model.path / "config.json").string();
  AdapterConfig config;
  config.r = json_or<int64_t>(model.config, "lora_r", config.r, where);
  config.lora_alpha = json_or<double>(model.config, "lora_alpha", config.lora_alpha, where);
  config.use_rslora = json_or<bool>(model.config, "use_rslora", false, where);
  config.fan_in_fan_out = json_or<bool>(model.config, "fan_in_fan_out", false, where);
  return config;
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

// Names for a message: all of them, unless there are very many.
std::string listed(const std::vector<std::string>& names) {
  constexpr size_t kMost = 100;
  const auto shown = std::span(names).first(std::min(names.size(), kMost));
  const std::string rest =
      names.size() > kMost ? fmt::format(" and {} more", names.size() - kMost) : "";
  return fmt::format("{}{}", fmt::join(shown, ", "), rest);
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
    for (auto& [raw, weight] : open_model_folder(model.path)) {
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
        checkpoint_.tensors.try_emplace(name->canonical, ModelTensor{weight, name->merged});
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

WeightPtr WeightTaker::take(const std::string& name, const Shape& shape) {
  const auto found = checkpoint_.tensors.find(name);
  taken_.insert(name);
  if (found == checkpoint_.tensors.end()) {
    missing_.push_back(fmt::format("{} [{}]", name, fmt::join(shape, ", ")));
  } else if (found->second.weight->shape() != shape) {
    misshapen_.push_back(fmt::format("{} is [{}], expected [{}]",
                                     name,
                                     fmt::join(found->second.weight->shape(), ", "),
                                     fmt::join(shape, ", ")));
  } else if (!dtype_row(found->second.weight->dtype()).is_float) {
    misshapen_.push_back(fmt::format(
        "{} is {}, expected a float dtype", name, dtype_name(found->second.weight->dtype())));
  } else {
    return found->second.weight;
  }
  return zeros(DType::kF32, shape);
}

uint64_t WeightTaker::drop(const std::string& prefix) {
  uint64_t bytes = 0;
  for (const auto& [name, tensor] : checkpoint_.tensors) {
    if (name.starts_with(prefix)) {
      taken_.insert(name);
      bytes += tensor.weight->bytes();
    }
  }
  return bytes;
}

void WeightTaker::finish(const std::vector<std::string>& prefixes) const {
  std::vector<std::string> unused;
  for (const auto& [name, tensor] : checkpoint_.tensors) {
    const bool ours = std::ranges::any_of(
        prefixes, [&](const std::string& prefix) { return name.starts_with(prefix); });
    if (ours && !taken_.contains(name)) {
      unused.push_back(name);
    }
  }
  std::string message;
  const auto report = [&](std::string_view what, const std::vector<std::string>& names) {
    if (!names.empty()) {
      message += fmt::format(
          "{}{} {}: {}", message.empty() ? "" : "; ", names.size(), what, listed(names));
    }
  };
  report("missing", missing_);
  report("of the wrong shape or dtype", misshapen_);
  report("unused (is config.json of another model?)", unused);
  if (!message.empty()) {
    fail(ErrorCode::kMismatch,
         "{}: tensors do not match config.json: {}",
         checkpoint_.folder.string(),
         message);
  }
}

}  // namespace lorapress
