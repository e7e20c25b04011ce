// PEFT's LoraConfig, from an adapter_config.json or from the keys that a trainer left in its own
// config.json.
#ifndef LORAPRESS_CHECKPOINT_ADAPTER_CONFIG_H_
#define LORAPRESS_CHECKPOINT_ADAPTER_CONFIG_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "checkpoint/name_pattern.h"
#include "checkpoint/trained_modules.h"

namespace lorapress {

// One entry of rank_pattern or alpha_pattern.
struct PatternRow {
  NamePattern key;
  double value = 0.0;
};
using Pattern = std::vector<PatternRow>;  // in file order: the first match counts

// The value for a module: that of the first key that matches the module as a regular expression,
// else of the key that equals its name, else `fallback` (peft/utils/other.py, get_pattern_key).
double match_pattern(const Pattern& pattern, std::string_view module, double fallback);

// BD-LoRA: modules of which one factor is stored as the blocks of its diagonal.
struct BlockDiagonal {
  std::vector<std::string> a_modules;  // parts of names
  std::vector<std::string> b_modules;
  int64_t blocks = 1;
};

// Keys and defaults of peft/tuners/lora/config.py (LoraConfig), those that change a merged weight
// and are implemented; parse_adapter_config() refuses all other fields that change one.
struct AdapterConfig {
  std::string where;  // the file, for messages
  int64_t r = 8;
  double lora_alpha = 8.0;
  bool use_rslora = false;
  std::optional<bool> use_dora;   // empty: not given
  std::optional<bool> kasa;       // from kasa_config; empty: not given
  std::string init_lora_weights;  // empty for true, false and absent
  Pattern rank_pattern;
  Pattern alpha_pattern;
  std::optional<BlockDiagonal> block_diagonal;
  std::string base_model_name_or_path;
  TrainedModules trained;
  // PEFT (tuners/lora/layer.py, dispatch_default) sets it for Conv1D and resets it for nn.Linear,
  // whatever the file says; apply_adapters() notes where the file says otherwise.
  bool fan_in_fan_out = false;
  std::vector<std::string> notes;
};

// The text of an adapter_config.json. Throws kInvalidFile, kUnsupported.
AdapterConfig parse_adapter_config(std::string_view text, std::string_view where);
// The text of a trainer's config.json, most of whose keys are not LoRA's: reads lora_r, lora_alpha
// and the LoraConfig fields that change a merged weight.
AdapterConfig parse_trainer_config(std::string_view text, std::string_view where);

// How an initialization changed the base before the adapter was trained on it.
enum class BaseChange {
  kNone,
  kPissa,  // minus its rank r part of the largest singular values
  kOlora,  // minus scaling times the first r columns of Q times the first r rows of R
  kKasa,   // minus its rank r part of the smallest singular values
};
// The change for an adapter that does not hold its own base. Throws kUnsupported for
// initializations whose change cannot be computed again.
BaseChange base_change(const AdapterConfig& config, bool kasa);

// For r and the ranks of rank_pattern; throws kInvalidFile unless the rank is a whole number in
// range.
void check_rank(double rank, std::string_view what, std::string_view where);

}  // namespace lorapress

#endif  // LORAPRESS_CHECKPOINT_ADAPTER_CONFIG_H_
