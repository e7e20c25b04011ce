#include "checkpoint/assemble.h"

#include <algorithm>

#include "base/fail.h"
#include "base/file.h"
#include "checkpoint/embedding_tables.h"
#include "checkpoint/folder.h"
#include "checkpoint/quantized.h"

namespace lorapress {
namespace {

// Buffers that older transformers versions saved; they are computed from the config.
bool is_buffer(const Checkpoint& checkpoint, std::string_view name) {
  const bool of_decoder = checkpoint.text && name.starts_with("language_model.");
  return name.ends_with(".position_ids") || name.ends_with(".rotary_emb.inv_freq") ||
         name.ends_with(".masked_bias") ||
         (of_decoder &&
          std::ranges::any_of(text_names(checkpoint.text->model_type).buffers,
                              [&](std::string_view end) { return name.ends_with(end); }));
}

// The original rows that PEFT replaced by trainable_tokens_delta; PEFT does not save them since
// 0.15.
bool is_token_copy(std::string_view raw) {
  return raw.find(".trainable_tokens_original") != std::string_view::npos;
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

// Marks the modules whose base weight is in the same folder; for tied tables one of the two is
// enough.
void note_own_bases(const Checkpoint& checkpoint,
                    const std::map<std::string, std::string>& spelled,
                    std::map<std::string, Adapter>& embedded) {
  const auto is_table = [&](const std::string& name) {
    return EmbeddingTables::is_table(checkpoint, name);
  };
  const bool table =
      std::ranges::any_of(spelled, [&](const auto& entry) { return is_table(entry.first); });
  for (auto& [name, adapter] : embedded) {
    for (auto& [key, module] : adapter.modules) {
      module.own_base = spelled.contains(key) || (table && is_table(key));
    }
  }
}

}  // namespace

void Assembler::add_model(const ModelFolder& model) {
  std::map<std::string, Adapter> embedded;
  std::map<std::string, std::string> spelled;  // canonical -> raw
  std::set<std::string> earlier;               // from folders before this one
  for (const auto& [name, tensor] : checkpoint_.tensors) {
    earlier.insert(name);
  }
  check_quantization(model.config, (model.path / "config.json").string());
  for (auto& [raw, weight] :
       dequantized(open_model_folder(model.path), model.path.string(), checkpoint_.notes)) {
    const auto name = parse_tensor_name(raw, model.layout, names_of(model.composite));
    if (!name) {
      if (model.layout == Layout::kComposite) {
        unexpected_keys_.push_back(raw);
      }
      continue;
    }
    if (is_buffer(checkpoint_, name->canonical) || is_token_copy(raw)) {
      continue;
    }
    if (name->role == TensorRole::kBase) {
      // Earlier folders win; modules_to_save keeps the untouched copy as original_module.
      checkpoint_.tensors.try_emplace(
          name->canonical, ModelTensor{weight, name->merged, false, nullptr, model.path.string()});
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
  note_own_bases(checkpoint_, spelled, embedded);
  drop_foreign(model, earlier, embedded);
  choose_embedded(model, std::move(embedded));
  if (!unexpected_keys_.empty()) {
    fail(ErrorCode::kMismatch,
         "{}: {} tensors belong to no part of the model (vision_encoder, projection, "
         "language_model): {}",
         model.path.string(),
         unexpected_keys_.size(),
         listed(unexpected_keys_));
  }
}

// An adapter found in a base folder applies only to tensors of that base folder.
void Assembler::drop_foreign(const ModelFolder& model,
                             const std::set<std::string>& earlier,
                             std::map<std::string, Adapter>& embedded) {
  size_t dropped = 0;
  const auto foreign = [&](const auto& entry) { return earlier.contains(entry.first); };
  for (auto& [name, adapter] : embedded) {
    dropped += std::erase_if(adapter.modules, foreign);
    dropped += std::erase_if(adapter.replacements, foreign);
    dropped += std::erase_if(adapter.token_rows, foreign);
  }
  std::erase_if(embedded, [](const auto& entry) {
    const Adapter& adapter = entry.second;
    return adapter.modules.empty() && adapter.replacements.empty() && adapter.token_rows.empty();
  });
  if (dropped != 0) {
    checkpoint_.notes.push_back(fmt::format(
        "{} adapter modules inside {} left out: the tensors are from a folder before it",
        dropped,
        model.path.string()));
  }
}

void Assembler::choose_embedded(const ModelFolder& model, std::map<std::string, Adapter> embedded) {
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

}  // namespace lorapress
