#include "checkpoint/names.h"

#include <array>
#include <vector>

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

bool has_component(std::string_view name) {
  return name.starts_with(kVision) || name.starts_with(kProjection) || name.starts_with(kText);
}

struct Located {
  std::string_view component;
  std::string_view rest;  // the name inside the component, as the file spells it
};

std::optional<Located> locate(std::string_view name, Layout layout) {
  if (layout == Layout::kText) {
    strip_all_wrappers(name);
    return Located{kText, name};
  }
  if (layout == Layout::kVision) {
    strip_all_wrappers(name);
    if (name.starts_with("text_model.") || name.starts_with("logit_")) {
      return std::nullopt;
    }
    return Located{kVision, name};
  }
  for (const std::string_view component : {kVision, kProjection, kText}) {
    if (take_prefix(name, component)) {
      strip_all_wrappers(name);
      return Located{component, name};
    }
  }
  return std::nullopt;
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

TensorName describe(const Located& located) {
  Split split = split_name(located.rest);
  std::string_view module = split.module;
  if (located.component == kVision) {
    take_prefix(module, "vision_model.");
  }
  std::string text_prefix;
  if (located.component == kText && !module.starts_with("model") &&
      !module.starts_with("lm_head")) {
    text_prefix = "model.";  // a decoder saved without its head: "layers.0.…"
  }
  const bool is_delta = split.role != TensorRole::kBase && split.role != TensorRole::kReplacement;
  const std::string leaf = split.role == TensorRole::kLoraBBias ? "bias"
                           : is_delta                           ? "weight"
                                                                : split.leaf;
  TensorName name;
  name.role = split.role;
  name.canonical = std::string(located.component) + text_prefix + join(module, leaf);
  name.merged = std::string(located.component) + text_prefix + join(split.module, leaf);
  name.adapter = split.adapter;
  name.relative_module = split.module;
  name.embedding = split.embedding;
  name.original = split.original;
  return name;
}

}  // namespace

std::optional<TensorName> parse_tensor_name(std::string_view name, Layout layout) {
  strip_wrappers(name);
  const auto located = locate(name, layout);
  if (!located || located->rest.empty()) {
    return std::nullopt;
  }
  return describe(*located);
}

std::optional<TensorName> parse_adapter_name(std::string_view name) {
  strip_all_wrappers(name);
  if (name.empty()) {
    return std::nullopt;
  }
  if (has_component(name)) {  // the adapter wrapped the whole vision-language model
    return parse_tensor_name(name, Layout::kComposite);
  }
  const bool vision = name.starts_with("vision_model.") || name.starts_with("encoder.layers.") ||
                      name.starts_with("embeddings.");
  return describe({vision ? kVision : kText, name});
}

}  // namespace lorapress
