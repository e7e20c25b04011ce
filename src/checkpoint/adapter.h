// PEFT LoRA adapters: configuration and tensors, from an adapter folder or from inside a trainer's
// checkpoint.
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
  bool own_base = false;         // its base weight, as trained on, is in the adapter's own file
};

struct Adapter {
  std::string where;  // folder or file, for messages
  std::string name;   // "default" in the trainer's files
  AdapterConfig config;
  double weight = 1.0;
  bool own_folder = false;                       // else its tensors are among those of a model
  std::map<std::string, AdapterModule> modules;  // by canonical name of the base weight
  TensorMap replacements;  // canonical name -> tensor that replaces the base's
  TensorMap originals;     // base tensors that PEFT stores under a wrapper (original_module)
  TensorMap token_rows;    // canonical name of a table -> the new rows of some tokens

  // Adds a tensor under its parsed name. Throws kInvalidFile for a second tensor with the same role
  // and module, unless PEFT stored one modules_to_save tensor under two names; kUnsupported for an
  // unknown kind.
  void add(const TensorName& name, WeightPtr tensor);
  // Throws kMismatch where a tensor of a module is missing, unexpected or does not have the
  // configured rank; kUnsupported for tensors that are not floats, and for an initialization whose
  // change of the base cannot be computed; kInvalidFile where the scaling is not finite.
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

Adapter open_adapter(const std::filesystem::path& folder,
                     double weight,
                     std::span<const NamePrefix> names = {});

}  // namespace lorapress

#endif  // LORAPRESS_CHECKPOINT_ADAPTER_H_
