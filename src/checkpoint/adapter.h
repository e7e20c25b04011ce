// PEFT LoRA adapters: their configuration and tensors, from a folder of their own or from inside a
// trainer's checkpoint.
#ifndef LORAPRESS_CHECKPOINT_ADAPTER_H_
#define LORAPRESS_CHECKPOINT_ADAPTER_H_

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "checkpoint/names.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/trained_modules.h"
#include "weights/lora.h"

namespace re2 {
class RE2;
}

namespace lorapress {

// One entry of rank_pattern or alpha_pattern; `expression` matches whole names of modules.
struct PatternRow {
  std::string key;
  std::shared_ptr<const re2::RE2> expression;
  double value = 0.0;
};

// Keys and defaults of peft/tuners/lora/config.py (LoraConfig).
struct AdapterConfig {
  int64_t r = 8;
  double lora_alpha = 8.0;
  bool use_rslora = false;
  bool fan_in_fan_out = false;
  std::vector<PatternRow> rank_pattern;  // in file order: the first match counts
  std::vector<PatternRow> alpha_pattern;
  std::string base_model_name_or_path;
  TrainedModules trained;
};

// The text of an adapter_config.json. Throws kInvalidFile, kUnsupported.
AdapterConfig parse_adapter_config(std::string_view text, std::string_view where);

struct AdapterModule {
  WeightPtr a;
  WeightPtr b;
  WeightPtr b_bias;
  WeightPtr magnitude;
  std::string relative_module;
  bool embedding = false;
};

struct Adapter {
  std::string where;  // folder or file, for messages
  std::string name;   // "default" in the trainer's files
  AdapterConfig config;
  double weight = 1.0;
  bool own_folder = false;                       // else its tensors stand among those of a model
  std::map<std::string, AdapterModule> modules;  // by canonical name of the base weight
  TensorMap replacements;  // canonical name -> tensor that replaces the base's
  TensorMap originals;     // the same, of the base under a wrapper, which PEFT stores beside it
  TensorMap token_rows;    // canonical name of a table -> the new rows of some tokens

  // Throws kInvalidFile for a second tensor in the same place, unless that is PEFT's second
  // spelling of one modules_to_save tensor.
  void add(const TensorName& name, WeightPtr tensor);
  // Throws kMismatch where A or B is missing or their rank is not the configured one, kUnsupported
  // for tensors that are no floats, kInvalidFile where the scaling is not finite.
  void check() const;
  // alpha / r or alpha / sqrt(r), by rank_pattern and alpha_pattern, times `weight`.
  [[nodiscard]] double scaling(const AdapterModule& module) const;
  [[nodiscard]] LoraDelta delta(const AdapterModule& module) const;
};

Adapter open_adapter(const std::filesystem::path& folder, double weight);

}  // namespace lorapress

#endif  // LORAPRESS_CHECKPOINT_ADAPTER_H_
