#include "checkpoint/adapter.h"

#include <algorithm>
#include <cmath>

#include "base/fail.h"
#include "base/file.h"
#include "weights/residual.h"
#include "weights/table_rows.h"

namespace lorapress {
namespace {

// Fills an empty slot; throws kInvalidFile where the slot is taken.
void place(WeightPtr& slot, WeightPtr value, std::string_view what, const std::string& where) {
  if (slot) {
    fail(ErrorCode::kInvalidFile, "{}: {} is there twice, under two spellings", where, what);
  }
  slot = std::move(value);
}

// Whether one of `parts` is in a module's name (PEFT, BdLoraLinearVariant.init).
bool named(const std::vector<std::string>& parts, const std::string& module) {
  return std::ranges::any_of(
      parts, [&](const std::string& part) { return module.find(part) != std::string::npos; });
}

}  // namespace

void Adapter::add(const TensorName& tensor, WeightPtr value) {
  if (tensor.role == TensorRole::kBase || tensor.role == TensorRole::kReplacement) {
    WeightPtr& slot = (tensor.original ? originals : replacements)[tensor.canonical];
    // Where an embedding was resized, save_pretrained stores "modules_to_save.weight", too.
    if (slot && same_values(*slot, *value)) {
      return;
    }
    return place(slot, std::move(value), tensor.canonical, where);
  }
  if (tensor.role == TensorRole::kTokenRows) {
    return place(token_rows[tensor.canonical],
                 std::move(value),
                 tensor.canonical + ": trainable_tokens_delta",
                 where);
  }
  if (tensor.role == TensorRole::kTraining) {
    return;
  }
  std::string key = tensor.canonical;
  if (tensor.role == TensorRole::kUnknown) {
    fail(
        ErrorCode::kUnsupported,
        "{}: {} has a lora_ tensor that is none of lora_A, lora_B, lora_magnitude_vector and "
        "lora_diag; this kind of adapter is not supported, merge it with the library that wrote it",
        where,
        key);
  }
  if (tensor.role == TensorRole::kLoraBBias) {
    key.replace(key.size() - 4, 4, "weight");  // the module is filed under its weight
  }
  AdapterModule& module = modules[key];
  module.relative_module = tensor.relative_module;
  module.embedding = module.embedding || tensor.embedding;
  switch (tensor.role) {
    case TensorRole::kDiagonal:
      return place(module.diagonal, std::move(value), key + ": lora_diag", where);
    case TensorRole::kLoraA:
      return place(module.a, std::move(value), key + ": lora_A", where);
    case TensorRole::kLoraB:
      return place(module.b, std::move(value), key + ": lora_B", where);
    case TensorRole::kLoraBBias:
      return place(module.b_bias, std::move(value), key + ": the bias of lora_B", where);
    default:
      return place(module.magnitude, std::move(value), key + ": the DoRA magnitude", where);
  }
}

bool Adapter::kasa(const AdapterModule& module) const {
  return config.kasa.value_or(module.diagonal != nullptr);
}

// Checks that a module has the tensors of the kind of adapter that the configuration names.
void Adapter::check_kind(const std::string& key, const AdapterModule& module) const {
  const auto refuse = [&](std::string_view field, bool on, std::string_view tensor) {
    fail(ErrorCode::kMismatch,
         "{}: {}: {} says {}, but there is {} {}; take the adapter's own adapter_config.json",
         where,
         key,
         field,
         on ? "yes" : "no",
         on ? "no" : "a",
         tensor);
  };
  if (!module.a || !module.b) {
    fail(ErrorCode::kMismatch,
         "{}: {}: {} is missing, a LoRA needs both lora_A and lora_B; save the adapter again",
         where,
         key,
         module.a ? "lora_B" : "lora_A");
  }
  const bool has_magnitude = module.magnitude != nullptr;
  if (config.use_dora.value_or(has_magnitude) != has_magnitude) {
    refuse("use_dora", *config.use_dora, "lora_magnitude_vector");
  }
  const bool has_diagonal = module.diagonal != nullptr;
  if (kasa(module) != has_diagonal) {
    refuse("kasa_config", *config.kasa, "lora_diag");
  }
}

void Adapter::check_module(const std::string& key, const AdapterModule& module) const {
  const auto expected = static_cast<int64_t>(
      match_pattern(config.rank_pattern, module.relative_module, static_cast<double>(config.r)));
  const LoraDelta factors = delta(module);
  if (factors.a->rows() != expected || factors.b->cols() != expected) {
    fail(ErrorCode::kMismatch,
         "{}: {}: rank mismatch: lora_A is [{}] and lora_B [{}], the configuration says r = {}; "
         "correct lora_r (r) or take the adapter's own adapter_config.json",
         where,
         key,
         fmt::join(module.a->shape(), ", "),
         fmt::join(module.b->shape(), ", "),
         expected);
  }
  for (const WeightPtr& part :
       {module.a, module.b, module.b_bias, module.magnitude, module.diagonal}) {
    if (part && !dtype_row(part->dtype()).is_float) {
      fail(ErrorCode::kUnsupported,
           "{}: {}: a tensor of the adapter is {}, expected floats",
           where,
           key,
           dtype_name(part->dtype()));
    }
  }
  if (!std::isfinite(static_cast<float>(scaling(module)))) {
    fail(ErrorCode::kInvalidFile,
         "{}: {}: the scaling is {}, expected a finite number; correct lora_alpha or the "
         "adapter's weight",
         where,
         key,
         scaling(module));
  }
  if (!module.own_base) {
    base_change(config, kasa(module));
  }
}

void Adapter::check() const {
  check_rank(static_cast<double>(config.r), "lora_r", where);
  for (const auto& [key, module] : modules) {
    check_kind(key, module);
    check_module(key, module);
  }
}

double Adapter::scaling(const AdapterModule& module) const {
  const double alpha =
      match_pattern(config.alpha_pattern, module.relative_module, config.lora_alpha);
  const auto rank = static_cast<double>(module.a->rows());
  return weight * alpha / (config.use_rslora ? std::sqrt(rank) : rank);
}

LoraDelta Adapter::delta(const AdapterModule& module) const {
  LoraDelta delta{
      module.a, module.b, scaling(module), module.magnitude, module.embedding, module.diagonal};
  if (config.block_diagonal) {
    const BlockDiagonal& blocks = *config.block_diagonal;
    if (named(blocks.a_modules, module.relative_module)) {
      delta.a = block_diagonal(module.a, blocks.blocks);
    } else if (named(blocks.b_modules, module.relative_module)) {
      delta.b = block_diagonal(module.b, blocks.blocks);
    }
  }
  return delta;
}

WeightPtr Adapter::trained_base(const AdapterModule& module,
                                const std::string& key,
                                const WeightPtr& base) const {
  const BaseChange change = module.own_base ? BaseChange::kNone : base_change(config, kasa(module));
  if (change == BaseChange::kNone) {
    return base;
  }
  if (module.embedding) {
    fail(ErrorCode::kUnsupported,
         "{}: {}: {} is of linear layers, this one is an embedding; save the adapter again",
         where,
         key,
         change == BaseChange::kKasa ? "kasa_config" : "init_lora_weights");
  }
  const int64_t rank = module.a->rows();
  Change part{MatrixPart::kLargest, rank, 1.0, where + ": " + key};
  if (change == BaseChange::kKasa) {
    part.part = MatrixPart::kSmallest;
  } else if (change == BaseChange::kOlora) {
    Adapter alone;  // the adapter's weight does not scale its initialization
    alone.config = config;
    part.part = MatrixPart::kFirstColumns;
    part.scale = alone.scaling(module);
  }
  return without_part(base, std::move(part));
}

Adapter open_adapter(const std::filesystem::path& folder,
                     double weight,
                     std::span<const NamePrefix> names) {
  const std::filesystem::path config = folder / "adapter_config.json";
  const std::filesystem::path tensors = folder / "adapter_model.safetensors";
  if (!std::filesystem::exists(config)) {
    fail(ErrorCode::kNotFound,
         "{}: no adapter_config.json; expected a folder that PEFT's save_pretrained wrote",
         folder.string());
  }
  if (!std::filesystem::exists(tensors) && std::filesystem::exists(folder / "adapter_model.bin")) {
    fail(ErrorCode::kUnsupported,
         "{}: adapter_model.bin is a pickle; save the adapter with safe_serialization=True",
         folder.string());
  }
  Adapter adapter;
  adapter.where = folder.string();
  adapter.weight = weight;
  adapter.own_folder = true;
  adapter.config = parse_adapter_config(read_text(config, kMaxJson), config.string());
  for (auto& [name, tensor] : open_safetensors(tensors)) {
    const auto parsed = parse_adapter_name(name, names);
    if (!parsed) {
      fail(
          ErrorCode::kInvalidFile, "{}: tensor {}: not a name PEFT writes", tensors.string(), name);
    }
    adapter.add(*parsed, tensor);
  }
  adapter.check();
  if (std::ranges::any_of(adapter.modules, [&](const auto& entry) {
        return base_change(adapter.config, adapter.kasa(entry.second)) != BaseChange::kNone;
      })) {
    adapter.config.notes.push_back(
        fmt::format("{}: its initialization changes the base, and does so again here, as when PEFT "
                    "loads it; if "
                    "the base is the changed one already, set init_lora_weights to true",
                    config.string()));
  }
  return adapter;
}

}  // namespace lorapress
