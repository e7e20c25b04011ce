#include "checkpoint/known_models.h"

#include <algorithm>
#include <array>
#include <cstdlib>

#include "base/file.h"
#include "base/system.h"

namespace lorapress {
namespace {

namespace fs = std::filesystem;

struct KnownVision {
  std::string_view model_type;
  std::string_view name;
  int hidden_size;
  int intermediate_size;  // of DINOv2: mlp_ratio 4
  int num_hidden_layers, num_attention_heads, image_size, patch_size;
};

constexpr std::array kKnownVision = {
    KnownVision{
        "siglip_vision_model", "google/siglip-base-patch16-224", 768, 3072, 12, 12, 224, 16},
    KnownVision{
        "siglip_vision_model", "google/siglip-base-patch16-256", 768, 3072, 12, 12, 256, 16},
    KnownVision{
        "siglip_vision_model", "google/siglip-base-patch16-384", 768, 3072, 12, 12, 384, 16},
    KnownVision{
        "siglip_vision_model", "google/siglip-base-patch16-512", 768, 3072, 12, 12, 512, 16},
    KnownVision{
        "siglip_vision_model", "google/siglip-large-patch16-256", 1024, 4096, 24, 16, 256, 16},
    KnownVision{
        "siglip_vision_model", "google/siglip-large-patch16-384", 1024, 4096, 24, 16, 384, 16},
    KnownVision{
        "siglip_vision_model", "google/siglip-so400m-patch14-224", 1152, 4304, 27, 16, 224, 14},
    KnownVision{
        "siglip_vision_model", "google/siglip-so400m-patch14-384", 1152, 4304, 27, 16, 384, 14},
    KnownVision{
        "siglip_vision_model", "google/siglip2-base-patch16-224", 768, 3072, 12, 12, 224, 16},
    KnownVision{
        "siglip_vision_model", "google/siglip2-base-patch16-256", 768, 3072, 12, 12, 256, 16},
    KnownVision{
        "siglip_vision_model", "google/siglip2-base-patch16-384", 768, 3072, 12, 12, 384, 16},
    KnownVision{
        "siglip_vision_model", "google/siglip2-base-patch16-512", 768, 3072, 12, 12, 512, 16},
    KnownVision{
        "siglip_vision_model", "google/siglip2-so400m-patch14-224", 1152, 4304, 27, 16, 224, 14},
    KnownVision{
        "siglip_vision_model", "google/siglip2-so400m-patch14-384", 1152, 4304, 27, 16, 384, 14},
    KnownVision{"vit", "google/vit-base-patch16-224", 768, 3072, 12, 12, 224, 16},
    KnownVision{"vit", "google/vit-base-patch16-224-in21k", 768, 3072, 12, 12, 224, 16},
    KnownVision{"vit", "google/vit-base-patch16-384", 768, 3072, 12, 12, 384, 16},
    KnownVision{"vit", "google/vit-large-patch16-224", 1024, 4096, 24, 16, 224, 16},
    KnownVision{"clip_vision_model", "openai/clip-vit-base-patch32", 768, 3072, 12, 12, 224, 32},
    KnownVision{"clip_vision_model", "openai/clip-vit-base-patch16", 768, 3072, 12, 12, 224, 16},
    KnownVision{"clip_vision_model", "openai/clip-vit-large-patch14", 1024, 4096, 24, 16, 224, 14},
    KnownVision{
        "clip_vision_model", "openai/clip-vit-large-patch14-336", 1024, 4096, 24, 16, 336, 14},
    KnownVision{"dinov2", "facebook/dinov2-small", 384, 1536, 12, 6, 518, 14},
    KnownVision{"dinov2", "facebook/dinov2-base", 768, 3072, 12, 12, 518, 14},
    KnownVision{"dinov2", "facebook/dinov2-large", 1024, 4096, 24, 16, 518, 14},
};

struct KnownText {
  std::string_view model_type;
  std::string_view name;
  int vocab_size, hidden_size, intermediate_size, num_hidden_layers, num_attention_heads,
      num_key_value_heads;
  double rms_norm_eps;
  int rope_theta, max_position_embeddings;
  bool tie_word_embeddings;
  int bos_token_id, eos_token_id;
  int head_dim = 0;  // where it is not hidden_size / num_attention_heads
};

// clang-format off
constexpr std::array kKnownText = {
    KnownText{"llama", "HuggingFaceTB/SmolLM-135M",
              49152, 576, 1536, 30, 9, 3, 1e-5, 10000, 2048, true, 0, 0},
    KnownText{"llama", "HuggingFaceTB/SmolLM-360M",
              49152, 960, 2560, 32, 15, 5, 1e-5, 10000, 2048, true, 0, 0},
    KnownText{"llama", "HuggingFaceTB/SmolLM-1.7B",
              49152, 2048, 8192, 24, 32, 32, 1e-5, 10000, 2048, true, 0, 0},
    KnownText{"llama", "HuggingFaceTB/SmolLM2-135M",
              49152, 576, 1536, 30, 9, 3, 1e-5, 100000, 8192, true, 0, 0},
    KnownText{"llama", "HuggingFaceTB/SmolLM2-360M",
              49152, 960, 2560, 32, 15, 5, 1e-5, 100000, 8192, true, 0, 0},
    KnownText{"llama", "HuggingFaceTB/SmolLM2-1.7B",
              49152, 2048, 8192, 24, 32, 32, 1e-5, 130000, 8192, true, 0, 0},
    KnownText{"llama", "HuggingFaceTB/SmolLM2-135M-Instruct",
              49152, 576, 1536, 30, 9, 3, 1e-5, 100000, 8192, true, 1, 2},
    KnownText{"llama", "HuggingFaceTB/SmolLM2-360M-Instruct",
              49152, 960, 2560, 32, 15, 5, 1e-5, 100000, 8192, true, 1, 2},
    KnownText{"llama", "HuggingFaceTB/SmolLM2-1.7B-Instruct",
              49152, 2048, 8192, 24, 32, 32, 1e-5, 130000, 8192, true, 1, 2},
    KnownText{"llama", "TinyLlama/TinyLlama-1.1B-Chat-v1.0",
              32000, 2048, 5632, 22, 32, 4, 1e-5, 10000, 2048, false, 1, 2},
    KnownText{"qwen2", "Qwen/Qwen2-0.5B",
              151936, 896, 4864, 24, 14, 2, 1e-6, 1000000, 131072, true, 151643, 151643},
    KnownText{"qwen2", "Qwen/Qwen2-0.5B-Instruct",
              151936, 896, 4864, 24, 14, 2, 1e-6, 1000000, 32768, true, 151643, 151645},
    KnownText{"qwen2", "Qwen/Qwen2.5-0.5B",
              151936, 896, 4864, 24, 14, 2, 1e-6, 1000000, 32768, true, 151643, 151643},
    KnownText{"qwen2", "Qwen/Qwen2.5-0.5B-Instruct",
              151936, 896, 4864, 24, 14, 2, 1e-6, 1000000, 32768, true, 151643, 151645},
    KnownText{"qwen3", "Qwen/Qwen3-0.6B",
              151936, 1024, 3072, 28, 16, 8, 1e-6, 1000000, 40960, true, 151643, 151645, 128},
    KnownText{"smollm3", "HuggingFaceTB/SmolLM3-3B",
              128256, 2048, 11008, 36, 16, 4, 1e-6, 5000000, 65536, true, 128000, 128012},
};
// clang-format on

Json to_json(const KnownVision& row) {
  return {{"model_type", row.model_type},
          {"hidden_size", row.hidden_size},
          {"intermediate_size", row.intermediate_size},
          {"num_hidden_layers", row.num_hidden_layers},
          {"num_attention_heads", row.num_attention_heads},
          {"image_size", row.image_size},
          {"patch_size", row.patch_size}};
}

Json to_json(const KnownText& row) {
  Json json = {{"model_type", row.model_type},
               {"vocab_size", row.vocab_size},
               {"hidden_size", row.hidden_size},
               {"intermediate_size", row.intermediate_size},
               {"num_hidden_layers", row.num_hidden_layers},
               {"num_attention_heads", row.num_attention_heads},
               {"num_key_value_heads", row.num_key_value_heads},
               {"rms_norm_eps", row.rms_norm_eps},
               {"rope_theta", row.rope_theta},
               {"max_position_embeddings", row.max_position_embeddings},
               {"tie_word_embeddings", row.tie_word_embeddings},
               {"bos_token_id", row.bos_token_id},
               {"eos_token_id", row.eos_token_id}};
  if (row.head_dim != 0) {
    json["head_dim"] = row.head_dim;
  }
  return json;
}

fs::path hub_cache() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value == nullptr ? "" : value);
  };
  if (const std::string cache = variable("HF_HUB_CACHE"); !cache.empty()) {
    return cache;
  }
  if (const std::string home = variable("HF_HOME"); !home.empty()) {
    return fs::path(home) / "hub";
  }
  return sys::home_folder() / ".cache" / "huggingface" / "hub";
}

}  // namespace

std::optional<Json> known_config(std::string_view name) {
  const auto vision = std::ranges::find(kKnownVision, name, &KnownVision::name);
  if (vision != kKnownVision.end()) {
    return to_json(*vision);
  }
  const auto text = std::ranges::find(kKnownText, name, &KnownText::name);
  return text == kKnownText.end() ? std::nullopt : std::optional(to_json(*text));
}

std::vector<std::string_view> known_model_names() {
  std::vector<std::string_view> names;
  for (const KnownVision& row : kKnownVision) {
    names.push_back(row.name);
  }
  for (const KnownText& row : kKnownText) {
    names.push_back(row.name);
  }
  return names;
}

std::optional<fs::path> cached_model(std::string_view name) {
  if (name.empty() || name.find("..") != std::string_view::npos || name.starts_with('/')) {
    return std::nullopt;
  }
  std::string folder = "models--";
  for (const char c : name) {
    folder += c == '/' ? std::string("--") : std::string(1, c);
  }
  const fs::path model = hub_cache() / folder;
  std::error_code error;
  if (!fs::is_regular_file(model / "refs" / "main", error)) {
    return std::nullopt;
  }
  std::string revision = read_text(model / "refs" / "main", 256);
  while (!revision.empty() && std::isspace(static_cast<unsigned char>(revision.back())) != 0) {
    revision.pop_back();
  }
  const fs::path snapshot = model / "snapshots" / revision;
  return fs::exists(snapshot / "config.json", error) ? std::optional(snapshot) : std::nullopt;
}

}  // namespace lorapress
