#include "checkpoint/apply_adapters.h"

#include <algorithm>

#include "base/fail.h"
#include "weights/residual.h"
#include "weights/table_rows.h"

namespace lorapress {
namespace {

// Replaces whole tensors for all adapters first, so that every LoRA delta is added to the tensor
// that it was trained on.
class Replacer {
 public:
  Replacer(Checkpoint& checkpoint, EmbeddingTables& tables)
      : checkpoint_(checkpoint), tables_(tables) {}

  void replace(const Adapter& adapter) {
    for (const TensorMap* tensors : {&adapter.originals, &adapter.replacements}) {
      for (const auto& [name, tensor] : *tensors) {
        put(adapter, name, tensor);
      }
    }
    for (const TensorMap* tensors : {&adapter.originals, &adapter.replacements}) {
      for (const auto& [name, tensor] : *tensors) {
        by_[name] = adapter.where;
      }
    }
    if (adapter.weight != 1.0 && !adapter.replacements.empty()) {
      checkpoint_.notes.push_back(fmt::format(
          "the weight {} of {} is for its LoRA; {} tensors of modules_to_save are taken "
          "whole",
          adapter.weight,
          adapter.where,
          adapter.replacements.size()));
    }
  }

 private:
  void put(const Adapter& adapter, const std::string& name, const WeightPtr& tensor) {
    const auto base = checkpoint_.tensors.find(name);
    if (base == checkpoint_.tensors.end()) {
      if (!EmbeddingTables::is_table(checkpoint_, name)) {
        fail(ErrorCode::kMismatch,
             "{}: the base model has no {}; the adapter was trained for another base model",
             adapter.where,
             name);
      }
      checkpoint_.tensors[name] = {tensor, name, true};
      return;
    }
    WeightPtr& current = base->second.weight;
    const auto earlier = by_.find(name);
    if (earlier != by_.end() && !same_values(*current, *tensor)) {
      fail(ErrorCode::kUnsupported,
           "{}: replaces {} and so does {}, with other values; only one adapter can",
           adapter.where,
           name,
           earlier->second);
    }
    if (current->shape() != tensor->shape()) {
      tables_.accept_rows(adapter, name, current->shape(), tensor->shape());
    }
    current = tensor;
    base->second.adapted = true;
  }

  Checkpoint& checkpoint_;
  EmbeddingTables& tables_;
  std::map<std::string, std::string> by_;  // name -> the earlier adapter that replaced it
};

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

// Whether a weight is stored [in, out]: `name` is the canonical one of a Conv1D's weight.
bool is_conv1d(const Checkpoint& checkpoint, std::string_view name) {
  constexpr std::string_view kWeight = ".weight";
  if (!checkpoint.text || !name.starts_with("language_model.") || !name.ends_with(kWeight)) {
    return false;
  }
  name.remove_suffix(kWeight.size());
  return std::ranges::any_of(text_names(checkpoint.text->model_type).conv1d,
                             [&](std::string_view end) { return name.ends_with(end); });
}

// PEFT merges a Conv1D as the nn.Linear whose weight is the transposed one (transpose() and
// fan_in_fan_out in peft/tuners/lora/layer.py and dora.py).
void merge_module(const Adapter& adapter,
                  const AdapterModule& module,
                  const std::string& name,
                  bool conv1d,
                  ModelTensor& tensor) {
  const bool turned = conv1d && tensor.weight->shape().size() == 2;
  const auto turn = [&](const WeightPtr& weight) { return turned ? transpose(weight) : weight; };
  try {
    WeightPtr merged = turn(tensor.weight);
    WeightPtr unmerged = tensor.unmerged ? turn(tensor.unmerged) : merged;
    const WeightPtr trained = adapter.trained_base(module, name, unmerged);
    if (trained != unmerged) {
      merged = tensor.unmerged ? moved_by(merged, unmerged, trained) : trained;
      unmerged = trained;
    }
    tensor.weight = turn(merge_lora(merged, adapter.delta(module), unmerged));
    tensor.unmerged = turn(unmerged);
  } catch (const Error& error) {
    throw Error(error.code(), adapter.where + ": " + name + ": " + error.what());
  }
  tensor.adapted = true;
}

void merge_lora_modules(const Adapter& adapter, Checkpoint& checkpoint) {
  std::vector<std::string> missing_keys;
  bool dora = false;
  bool linear = false;
  for (const auto& [name, module] : adapter.modules) {
    const auto base = checkpoint.tensors.find(name);
    if (base == checkpoint.tensors.end()) {
      missing_keys.push_back(name);
      continue;
    }
    const bool conv1d = is_conv1d(checkpoint, name);
    merge_module(adapter, module, name, conv1d, base->second);
    dora = dora || module.magnitude != nullptr;
    linear = linear || !(conv1d || module.embedding);
  }
  if (!missing_keys.empty()) {
    fail(ErrorCode::kMismatch,
         "{}: the base model has no {}; the adapter was trained for another base model",
         adapter.where,
         listed(missing_keys));
  }
  merge_biases(adapter, checkpoint);
  if (linear && adapter.config.fan_in_fan_out) {
    checkpoint.notes.push_back(
        fmt::format("{}: fan_in_fan_out is true and taken as false, as PEFT does for nn.Linear",
                    adapter.config.where));
  }
  checkpoint.notes.insert(
      checkpoint.notes.end(), adapter.config.notes.begin(), adapter.config.notes.end());
  checkpoint.adapters.push_back({adapter.where,
                                 adapter.name,
                                 adapter.config.r,
                                 adapter.config.lora_alpha,
                                 adapter.weight,
                                 adapter.modules.size(),
                                 adapter.replacements.size(),
                                 adapter.config.use_rslora,
                                 dora});
}

}  // namespace

void apply_adapters(std::vector<Adapter> adapters,
                    Checkpoint& checkpoint,
                    EmbeddingTables& tables) {
  Replacer replacer(checkpoint, tables);
  for (Adapter& adapter : adapters) {
    tables.spread(adapter);
    adapter.check();
    replacer.replace(adapter);
  }
  for (const Adapter& adapter : adapters) {
    merge_lora_modules(adapter, checkpoint);
  }
  for (const Adapter& adapter : adapters) {
    tables.replace_tokens(adapter);
  }
}

}  // namespace lorapress
