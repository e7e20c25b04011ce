#include "checkpoint/names.h"

#include <array>
#include <vector>

#include "checkpoint/model_types.h"

namespace lorapress {
namespace {

constexpr std::string_view kVision = "vision_encoder.";
constexpr std::string_view kProjection = "projection.";
constexpr std::string_view kText = "language_model.";
constexpr std::string_view kPeftWrapper = "base_model.model.";

bool take_prefix(std::string_view& name, std::string_view prefix) {
  if (!name.starts_with(prefix)) {
    return false;
  }
  name.remove_prefix(prefix.size());
  return true;
}

// DistributedDataParallel and torch.compile wrappers.
void strip_wrappers(std::string_view& name) {
  while (take_prefix(name, "module.") || take_prefix(name, "_orig_mod.")) {
  }
}

// The same and PEFT's wrappers, which may be inside or outside of the others.
void strip_all_wrappers(std::string_view& name) {
  strip_wrappers(name);
  take_prefix(name, kPeftWrapper);
  strip_wrappers(name);
}

constexpr NamePrefix kCanonicalNames[] = {
    {kVision, kVision}, {kProjection, kProjection}, {kText, kText}};

struct Located {
  std::string_view component;
  std::string rest;     // the canonical name inside the component, PEFT's segments included
  std::string in_file;  // the whole name where its spelling is not the canonical one
  std::string outside;  // where PEFT wraps the whole model: the file's prefix
};

std::optional<Located> locate_part(std::string_view name,
                                   std::span<const NamePrefix> names,
                                   bool wrapped) {
  for (const NamePrefix& prefix : names.empty() ? std::span(kCanonicalNames) : names) {
    std::string_view rest = name;
    if (!take_prefix(rest, prefix.in_file)) {
      continue;
    }
    strip_all_wrappers(rest);
    const size_t dot = prefix.canonical.find('.') + 1;
    const bool renamed = prefix.in_file != prefix.canonical;
    return Located{prefix.canonical.substr(0, dot),
                   rest.empty() ? "" : std::string(prefix.canonical.substr(dot)).append(rest),
                   renamed ? std::string(prefix.in_file).append(rest) : "",
                   wrapped ? std::string(prefix.in_file) : ""};
  }
  return std::nullopt;
}

std::optional<Located> locate(std::string_view name,
                              Layout layout,
                              std::span<const NamePrefix> names) {
  if (layout == Layout::kComposite) {
    const bool wrapped = take_prefix(name, kPeftWrapper);
    strip_wrappers(name);
    return locate_part(name, names, wrapped);
  }
  strip_all_wrappers(name);
  if (layout == Layout::kText) {
    return Located{kText, std::string(name), "", ""};
  }
  for (const char* foreign : {"text_model.", "logit_", "text_projection.", "visual_projection."}) {
    if (name.starts_with(foreign)) {
      return std::nullopt;
    }
  }
  return Located{kVision, std::string(name), "", ""};
}

struct PeftMarker {
  std::string_view segment;
  TensorRole role;
  bool embedding;
};

constexpr std::array kMarkers = {
    PeftMarker{".token_adapter.base_layer.", TensorRole::kBase, false},
    PeftMarker{".token_adapter.trainable_tokens_delta", TensorRole::kTokenRows, false},
    PeftMarker{".base_layer.", TensorRole::kBase, false},
    PeftMarker{".original_module.", TensorRole::kBase, false},
    PeftMarker{".modules_to_save.", TensorRole::kReplacement, false},
    PeftMarker{".lora_A.", TensorRole::kLoraA, false},
    PeftMarker{".lora_B.", TensorRole::kLoraB, false},
    PeftMarker{".lora_embedding_A", TensorRole::kLoraA, true},
    PeftMarker{".lora_embedding_B", TensorRole::kLoraB, true},
    PeftMarker{".lora_magnitude_vector", TensorRole::kMagnitude, false},
    PeftMarker{".lora_diag", TensorRole::kDiagonal, false},
    PeftMarker{".lora_velora_embed", TensorRole::kTraining, false},
    PeftMarker{".lora_monteclora_sampler.", TensorRole::kTraining, false},
    PeftMarker{".lora_", TensorRole::kUnknown, false},
};

// "q_proj.lora_A.default.weight" -> module "q_proj", adapter "default", leaf "weight".
struct Split {
  TensorRole role = TensorRole::kBase;
  bool embedding = false;
  bool original = false;
  std::string module;
  std::string adapter;
  std::string leaf;
};

Split split_name(std::string_view name) {
  for (const PeftMarker& marker : kMarkers) {
    const size_t at = name.find(marker.segment);
    if (at == std::string_view::npos) {
      continue;
    }
    const bool original = marker.role == TensorRole::kBase;
    Split split{
        marker.role, marker.embedding, original, std::string(name.substr(0, at)), "", "weight"};
    std::string_view tail = name.substr(at + marker.segment.size());
    take_prefix(tail, ".");
    if (marker.role == TensorRole::kBase) {
      split.leaf = tail;
      return split;
    }
    if (marker.role == TensorRole::kReplacement) {  // "<adapter>.<name inside the module>"
      const size_t dot = tail.find('.');
      split.adapter = dot == std::string_view::npos ? "" : tail.substr(0, dot);
      split.leaf = tail.substr(dot == std::string_view::npos ? 0 : dot + 1);
      return split;
    }
    // tail: "<adapter>.<leaf>", "<leaf>" or "<adapter>" (parameters have no leaf)
    const size_t dot = tail.rfind('.');
    const std::string_view last = dot == std::string_view::npos ? tail : tail.substr(dot + 1);
    if (last == "weight" || last == "bias") {
      split.leaf = last;
      tail.remove_suffix(dot == std::string_view::npos ? tail.size() : last.size() + 1);
    }
    split.adapter = tail;
    if (split.role == TensorRole::kLoraB && split.leaf == "bias") {
      split.role = TensorRole::kLoraBBias;
    }
    return split;
  }
  const size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) {
    return {TensorRole::kBase, false, false, "", "", std::string(name)};
  }
  return {TensorRole::kBase,
          false,
          false,
          std::string(name.substr(0, dot)),
          "",
          std::string(name.substr(dot + 1))};
}

std::string join(std::string_view module, std::string_view leaf) {
  return module.empty() ? std::string(leaf) : std::string(module) + "." + std::string(leaf);
}

// A module's name inside the tower in the canonical spelling of its family.
std::string vision_module(std::string_view module) {
  take_prefix(module, "vision_model.");
  std::string name(module);
  for (const VisionModelType* type : vision_model_types()) {
    for (const VisionSpelling& spelling : type->spellings) {
      if (!name.starts_with(spelling.in_file)) {
        continue;
      }
      name.replace(0, spelling.in_file.size(), spelling.canonical);
      for (const NamePart& part : spelling.parts) {
        if (const size_t at = name.find(part.in_file); at != std::string::npos) {
          name.replace(at, part.in_file.size(), part.canonical);
        }
      }
    }
  }
  return name;
}

// The same of a decoder: files that were saved without the head have no "model." or "transformer.".
std::string text_module(std::string_view module) {
  const std::string name(module);
  for (const TextModelType* type : text_model_types()) {
    for (const NamePrefix& prefix : type->names.prefixes) {
      if ((name + ".").starts_with(prefix.in_file)) {
        const std::string whole =
            std::string(prefix.canonical) + (name + ".").substr(prefix.in_file.size());
        return whole.substr(0, whole.size() - 1);
      }
    }
  }
  const bool whole = name.starts_with("model") || name.starts_with("lm_head");
  return whole ? name : "model." + name;
}

// Whether an adapter's name is one of a vision tower alone.
bool is_vision_name(std::string_view name) {
  return name.starts_with("vision_model.") || name.starts_with("encoder.layer") ||
         name.starts_with("embeddings.") ||
         (name.starts_with("layers.") && name.find(".attention.") != std::string_view::npos);
}

TensorName describe(const Located& located) {
  const Split split = split_name(located.rest);
  const std::string module = located.component == kVision ? vision_module(split.module)
                             : located.component == kText ? text_module(split.module)
                                                          : split.module;
  const bool is_delta = split.role != TensorRole::kBase && split.role != TensorRole::kReplacement;
  const std::string leaf = split.role == TensorRole::kLoraBBias ? "bias"
                           : is_delta                           ? "weight"
                                                                : split.leaf;
  const std::string in_file = located.in_file.empty() ? "" : split_name(located.in_file).module;
  TensorName name;
  name.role = split.role;
  name.canonical = std::string(located.component) + join(module, leaf);
  const std::string& own = located.component == kText ? module : split.module;
  name.merged =
      in_file.empty() ? std::string(located.component) + join(own, leaf) : join(in_file, leaf);
  name.adapter = split.adapter;
  name.relative_module = in_file.empty() ? located.outside + split.module : in_file;
  name.embedding = split.embedding;
  name.original = split.original;
  return name;
}

}  // namespace

std::optional<TensorName> parse_tensor_name(std::string_view name,
                                            Layout layout,
                                            std::span<const NamePrefix> names) {
  strip_wrappers(name);
  const auto located = locate(name, layout, names);
  if (!located || located->rest.empty()) {
    return std::nullopt;
  }
  return describe(*located);
}

std::optional<TensorName> parse_adapter_name(std::string_view name,
                                             std::span<const NamePrefix> names) {
  strip_all_wrappers(name);
  if (name.empty()) {
    return std::nullopt;
  }
  if (const auto located = locate_part(name, names, true)) {
    return located->rest.empty() ? std::nullopt : std::optional(describe(*located));
  }
  return describe({is_vision_name(name) ? kVision : kText, std::string(name), "", ""});
}

}  // namespace lorapress
