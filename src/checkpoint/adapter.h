// PEFT LoRA adapters: their configuration and tensors, from a folder of their own or from inside a
// trainer's checkpoint.
#ifndef LORAPRESS_CHECKPOINT_ADAPTER_H_
#define LORAPRESS_CHECKPOINT_ADAPTER_H_

#include <filesystem>
#include <map>
#include <string>

#include "checkpoint/adapter_config.h"
#include "checkpoint/names.h"
#include "checkpoint/safetensors.h"
#include "weights/lora.h"

namespace lorapress {

struct AdapterModule {
  WeightPtr a;
  WeightPtr b;
  WeightPtr b_bias;
  WeightPtr magnitude;
  std::string relative_module;
  bool embedding = false;
  WeightPtr diagonal = nullptr;  // KaSA
  bool own_base = false;  // the base beside the adapter in its file is the one it was trained on
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
  // spelling of one modules_to_save tensor; kUnsupported for an unknown kind.
  void add(const TensorName& name, WeightPtr tensor);
  // Throws kMismatch where a part of a module is missing, is too many or has not the configured
  // rank, kUnsupported for tensors that are no floats and for a base that would have to change in
  // a way that cannot be computed, kInvalidFile where the scaling is not finite.
  void check() const;
  // alpha / r or alpha / sqrt(r), by rank_pattern and alpha_pattern, times `weight`.
  [[nodiscard]] double scaling(const AdapterModule& module) const;
  [[nodiscard]] LoraDelta delta(const AdapterModule& module) const;
  // The base as it was when this module was trained; `key` is its canonical name.
  [[nodiscard]] WeightPtr trained_base(const AdapterModule& module,
                                       const std::string& key,
                                       const WeightPtr& base) const;
  [[nodiscard]] bool kasa(const AdapterModule& module) const;

 private:
  void check_kind(const std::string& key, const AdapterModule& module) const;
  void check_module(const std::string& key, const AdapterModule& module) const;
};

Adapter open_adapter(const std::filesystem::path& folder, double weight);

}  // namespace lorapress

#endif  // LORAPRESS_CHECKPOINT_ADAPTER_H_
