#include "checkpoint/adapter_fields.h"

#include <algorithm>
#include <array>

#include "base/fail.h"

namespace lorapress {
namespace {

enum class Effect {
  kRead,     // parse_adapter_config takes it
  kNone,     // no effect on a merged weight, for the reason `why`
  kRefused,  // `why` goes into the message
};

struct FieldRow {
  std::string_view name;
  Effect effect;
  std::string_view why;
};

// PEFT 0.1 to 0.21, tuners/lora/config.py, and what other trainers add to the file. An older name
// that PEFT dropped is here as well: files live longer than code.
constexpr std::array kFields = {
    FieldRow{"peft_type", Effect::kRead, ""},
    FieldRow{"r", Effect::kRead, ""},
    FieldRow{"lora_alpha", Effect::kRead, ""},
    FieldRow{"use_rslora", Effect::kRead, ""},
    FieldRow{"use_dora", Effect::kRead, ""},
    FieldRow{"fan_in_fan_out", Effect::kRead, ""},
    FieldRow{"rank_pattern", Effect::kRead, ""},
    FieldRow{"alpha_pattern", Effect::kRead, ""},
    FieldRow{"init_lora_weights", Effect::kRead, ""},
    FieldRow{"base_model_name_or_path", Effect::kRead, ""},
    FieldRow{"kasa_config", Effect::kRead, ""},
    FieldRow{"use_bdlora", Effect::kRead, ""},
    FieldRow{"target_parameters", Effect::kRead, ""},

    FieldRow{"task_type", Effect::kNone, "which head PEFT wraps"},
    FieldRow{"auto_mapping", Effect::kNone, "a class name"},
    FieldRow{"peft_version", Effect::kNone, "a record"},
    FieldRow{"revision", Effect::kNone, "of the base on the hub"},
    FieldRow{"inference_mode", Effect::kNone, "what requires gradients"},
    FieldRow{"target_modules", Effect::kNone, "the tensors show which modules"},
    FieldRow{"exclude_modules", Effect::kNone, "the tensors show which modules"},
    FieldRow{"layers_to_transform", Effect::kNone, "the tensors show which modules"},
    FieldRow{"layers_pattern", Effect::kNone, "the tensors show which modules"},
    FieldRow{"modules_to_save", Effect::kRead, ""},
    FieldRow{"trainable_token_indices", Effect::kRead, ""},
    FieldRow{"ensure_weight_tying", Effect::kRead, ""},
    FieldRow{"bias", Effect::kNone, "the tensors are in the file"},
    FieldRow{"lora_bias", Effect::kNone, "the tensors are in the file"},
    FieldRow{"lora_dropout", Effect::kNone, "training only"},
    FieldRow{"runtime_config", Effect::kNone, "where tensors lie while training"},
    FieldRow{"megatron_config", Effect::kNone, "shards of the same factors"},
    FieldRow{"megatron_core", Effect::kNone, "a module's name"},
    FieldRow{"loftq_config", Effect::kNone, "options of init_lora_weights"},
    FieldRow{"eva_config", Effect::kNone, "options of init_lora_weights"},
    FieldRow{"corda_config", Effect::kNone, "options of init_lora_weights"},
    FieldRow{"lora_ga_config", Effect::kNone, "options of init_lora_weights"},
    FieldRow{"velora_config", Effect::kNone, "another backward pass, the same forward"},
    FieldRow{"monteclora_config", Effect::kNone, "noise while training, plain LoRA after it"},
    FieldRow{"use_qalora", Effect::kNone, "of GPTQ bases; pooled factors do not fit a plain one"},
    FieldRow{"qalora_group_size", Effect::kNone, "of use_qalora"},
    FieldRow{"merge_weights", Effect::kNone, "of PEFT 0.2: merge when evaluated"},
    FieldRow{"unsloth_fixed", Effect::kNone, "a record"},
    FieldRow{"unsloth_version", Effect::kNone, "a record"},

    FieldRow{"layer_replication",
             Effect::kRefused,
             "the adapter belongs to a base with repeated layers; merge with PEFT's "
             "merge_and_unload() and pass what it saves"},
    FieldRow{"alora_invocation_tokens",
             Effect::kRefused,
             "aLoRA acts only after its invocation tokens, which no merged weight can do"},
    FieldRow{"arrow_config",
             Effect::kRefused,
             "Arrow chooses between adapters for each token, which no merged weight can do"},
    FieldRow{"enable_lora",
             Effect::kRefused,
             "it adapts parts of a fused layer; train or convert it with separate modules"},
};

// True if a value means the same as an absent field.
bool is_neutral(const Json& value) {
  return value.is_null() || value == Json(false) || value == Json(0) || value == Json("") ||
         (value.is_structured() && value.empty());
}

std::string shortened(const Json& value) {
  constexpr size_t kMost = 80;
  const std::string text = value.dump(-1, ' ', true, Json::error_handler_t::replace);
  return text.size() <= kMost ? text
                              : fmt::format("{}...", std::string_view(text).substr(0, kMost));
}

}  // namespace

void check_adapter_fields(const Json& config, std::string_view where, bool whole) {
  for (const auto& [name, value] : config.items()) {
    const auto row = std::ranges::find(kFields, name, &FieldRow::name);
    const bool known = row != kFields.end();
    // PEFT reads an empty arrow_config as on, with its defaults.
    const bool neutral = name == "arrow_config" ? value.is_null() : is_neutral(value);
    if (neutral || (!known && !whole) || (known && row->effect != Effect::kRefused)) {
      continue;
    }
    if (known) {
      fail(ErrorCode::kUnsupported,
           "{}: {} is {} and changes the result: {}",
           where,
           name,
           shortened(value),
           row->why);
    }
    fail(ErrorCode::kUnsupported,
         "{}: {} is {}, a field that this program does not know and that may change the result; "
         "merge with the PEFT that wrote it, or remove the field if it is only a record",
         where,
         name,
         shortened(value));
  }
}

}  // namespace lorapress
