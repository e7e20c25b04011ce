// A small tied or untied decoder and adapters on its embedding tables, written by hand.
#ifndef LORAPRESS_TESTS_CC_TABLES_UTIL_H_
#define LORAPRESS_TESTS_CC_TABLES_UTIL_H_

#include <string>
#include <utility>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint_util.h"

namespace lorapress::test {

inline const std::string kInput = "language_model.model.embed_tokens.weight";
inline const std::string kOutput = "language_model.lm_head.weight";
inline const std::string kWrapped = "base_model.model.model.embed_tokens.";
inline const std::string kWrappedHead = "base_model.model.lm_head.";

inline Json config_of(const Json& flag) {
  Json config = tiny_llama_config();
  if (!flag.is_null()) {
    config["tie_word_embeddings"] = flag;
  }
  return config;
}

// Adds tensors to a model's file, or replaces some.
inline void change_tensors(const fs::path& folder, const std::vector<NamedWeight>& changes) {
  TensorMap all = open_safetensors(folder / "model.safetensors");
  for (const NamedWeight& change : changes) {
    all[change.name] = change.weight;
  }
  std::vector<NamedWeight> tensors;
  for (const auto& [name, weight] : all) {
    if (weight) {
      tensors.push_back({name, weight});
    }
  }
  write_safetensors(folder / "new", tensors);
  fs::rename(folder / "new", folder / "model.safetensors");
}

inline WeightPtr table(float value, int64_t rows = 6) {
  return filled(DType::kF32, {rows, 4}, value);
}

inline void write_adapter(const fs::path& folder,
                          const std::vector<NamedWeight>& tensors,
                          const Json& more = Json::object()) {
  fs::create_directories(folder);
  Json config = {{"peft_type", "LORA"}, {"r", 1}, {"lora_alpha", 1}};
  config.update(more);
  write_text(folder / "adapter_config.json", config.dump());
  write_safetensors(folder / "adapter_model.safetensors", tensors);
}

// A tokenizer of `known` tokens and added ones up to `rows`.
inline void write_tokenizer(const fs::path& folder,
                            int known,
                            int rows,
                            const std::string& prefix = "t") {
  fs::create_directories(folder);
  Json json = {{"model", {{"vocab", Json::object()}}}, {"added_tokens", Json::array()}};
  for (int id = 0; id < rows; ++id) {
    if (id < known) {
      json["model"]["vocab"][prefix + std::to_string(id)] = id;
    } else {
      json["added_tokens"].push_back({{"id", id}, {"content", "<" + std::to_string(id) + ">"}});
    }
  }
  fs::remove(folder / "tokenizer.json");
  write_text(folder / "tokenizer.json", json.dump());
}

class TablesTest : public ::testing::Test {
 protected:
  [[nodiscard]] Checkpoint open(const std::vector<std::pair<std::string, double>>& adapters = {}) {
    Source source;
    source.checkpoint = folder_ / "m";
    for (const auto& [name, weight] : adapters) {
      source.adapters.push_back({folder_ / name, weight});
    }
    return open_checkpoint(source);
  }
  std::string refused(ErrorCode code, const std::vector<std::string>& adapters) {
    std::vector<std::pair<std::string, double>> all;
    for (const std::string& name : adapters) {
      all.emplace_back(name, 1.0);
    }
    return message_of(code, [&] { (void)open(all); });
  }
  static float first(const Checkpoint& checkpoint, const std::string& name, int64_t row = 0) {
    const WeightPtr& weight = checkpoint.tensors.at(name).weight;
    std::vector<float> value(1);
    weight->read_floats({row, 1, 0, 1}, value);
    return value[0];
  }
  static std::string notes(const Checkpoint& checkpoint) {
    std::string all;
    for (const std::string& note : checkpoint.notes) {
      all += note + "; ";
    }
    return all;
  }
  // The base: tied with one table of 12.
  void write_tied(const Json& flag = true) {
    write_tiny_llama(folder_ / "m", config_of(flag), "lm_head.weight");
    change_tensors(folder_ / "m", {{"model.embed_tokens.weight", table(12.0F)}});
  }

  TempFolder folder_;
};

}  // namespace lorapress::test

#endif  // LORAPRESS_TESTS_CC_TABLES_UTIL_H_
