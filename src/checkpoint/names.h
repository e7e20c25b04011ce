// Maps tensor names, in any of the layouts that trainers write, to one canonical spelling:
//   vision_encoder.<SiglipVisionTransformer name>   vision_encoder.encoder.layers.0.mlp.fc1.weight
//   projection.<Sequential or Linear name>          projection.projection.weight
//   language_model.<LlamaForCausalLM name> language_model.model.layers.0.mlp.up_proj.weight
#ifndef LORAPRESS_CHECKPOINT_NAMES_H_
#define LORAPRESS_CHECKPOINT_NAMES_H_

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace lorapress {

// What kind of folder the names come from.
enum class Layout {
  kComposite,  // all parts in one file, under the prefixes of its model type
  kText,       // a plain Hugging Face decoder
  kVision,     // a plain SigLIP model or its vision tower
};

// A prefix of a composite's tensor names and the canonical one: "model.text_model." and
// "language_model.model.".
struct NamePrefix {
  std::string_view in_file;
  std::string_view canonical;
};

// How a family's tensors are spelled inside its tower where files differ: a prefix of the name, and
// parts of the names that have this prefix.
struct NamePart {
  std::string_view in_file, canonical;
};
struct VisionSpelling {
  std::string_view in_file, canonical;
  std::span<const NamePart> parts;
};

// What a tensor is to PEFT (src/peft/tuners/lora/layer.py, utils/other.py).
enum class TensorRole {
  kBase,         // a plain tensor, or one under .base_layer or .original_module
  kLoraA,        // also lora_embedding_A
  kLoraB,        // also lora_embedding_B
  kLoraBBias,    // lora_B.<adapter>.bias of lora_bias=True
  kMagnitude,    // DoRA
  kDiagonal,     // KaSA: lora_diag
  kTraining,     // state used in training only: VeLoRA, MonteCLoRA
  kUnknown,      // another lora_... beside A and B
  kReplacement,  // modules_to_save: replaces the base tensor
  kTokenRows,    // trainable_tokens_delta: replaces rows of an embedding table
};

struct TensorName {
  TensorRole role = TensorRole::kBase;
  std::string canonical;        // of the base tensor; of a module, its ".weight"
  std::string merged;           // the canonical tensor's name in the file's own spelling
  std::string adapter;          // "default" in the trainer's files, empty in adapter folders
  std::string relative_module;  // as PEFT sees the module inside the wrapped model, for patterns
  bool embedding = false;       // lora_embedding_*
  bool original = false;        // kBase under a PEFT wrapper: the base's own tensor
};

// Empty for names that belong to no part of the model (a text tower, an optimizer, a logit scale).
// `names` are those of a composite's model type, of which the first that matches is taken; none
// where its names are canonical.
std::optional<TensorName> parse_tensor_name(std::string_view name,
                                            Layout layout,
                                            std::span<const NamePrefix> names = {});

// The same for a tensor name in a PEFT adapter file (adapter_model.safetensors). The adapter belongs
// to the whole model where a prefix matches, else to a decoder or a vision tower alone.
std::optional<TensorName> parse_adapter_name(std::string_view name,
                                             std::span<const NamePrefix> names = {});

}  // namespace lorapress

#endif  // LORAPRESS_CHECKPOINT_NAMES_H_
