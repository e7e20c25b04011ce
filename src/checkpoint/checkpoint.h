// A whole checkpoint: typed configs and every tensor with its adapters merged, lazily.
#ifndef LORAPRESS_CHECKPOINT_CHECKPOINT_H_
#define LORAPRESS_CHECKPOINT_CHECKPOINT_H_

#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "lorapress/source.h"

#include "checkpoint/adapter.h"
#include "checkpoint/config.h"
#include "checkpoint/model_types.h"

namespace lorapress {

struct ModelTensor {
  WeightPtr weight;  // merged
  std::string name;  // merged name in the source's own spelling: vision_encoder.vision_model.…
  bool adapted = false;
  WeightPtr unmerged = nullptr;  // before any adapter; null while there was none
  std::string folder = "";       // of the model that holds it; empty for an adapter's tensor
};

struct AdapterSummary {
  std::string where;
  std::string name;
  int64_t r = 0;
  double lora_alpha = 0.0;
  double weight = 1.0;
  size_t modules = 0;
  size_t replacements = 0;
  bool rslora = false;
  bool dora = false;
};

struct Checkpoint {
  std::filesystem::path folder;
  const CompositeModelType* composite = nullptr;  // null for a decoder or a vision tower alone
  std::optional<VisionConfig> vision;
  std::optional<TextConfig> text;
  std::optional<ProjectionConfig> projection;
  // Of the positions in a prompt that image features replace; -1: none.
  int64_t image_token_id = -1;
  Json config;       // the checkpoint's own config.json
  Json vision_json;  // as found: null when absent
  Json text_json;
  std::map<std::string, std::string> config_where;  // by component, "language_model": the file
  int64_t max_new_tokens = 30;                      // the trainer's max_length
  std::vector<std::filesystem::path> folders;  // where tokenizer and preprocessor files may lie
  std::map<std::string, ModelTensor> tensors;  // by canonical name, see names.h
  // The table that lm_head multiplies by, tied or not; verify/ checks the handling of tied tables
  // with it.
  WeightPtr output_table;
  std::vector<AdapterSummary> adapters;
  // The folder of the adapter whose tokenizer has more tokens than the base's.
  std::optional<std::filesystem::path> added_tokens_folder;
  std::vector<std::string> notes;  // what a user should know: dropped, assumed, ignored

  // Positions of one image (of one tile, where images are split) before the decoder; 0 for a decoder
  // alone.
  [[nodiscard]] int64_t image_positions() const {
    const int64_t tokens = vision ? vision->tokens() : 0;
    return projection ? projection->positions(tokens) : tokens;
  }
  // `folders` in the order in which tokenizers are searched.
  [[nodiscard]] std::vector<std::filesystem::path> tokenizer_folders() const;
};

// Reads headers and configs, and tensor data only where two tables (or two tensors for one place)
// have to be compared; see embedding_tables.h. `text` and `text_json` describe the merged result:
// whether the tables are tied, and how many rows they have. Throws kMismatch for adapters without a
// base tensor.
Checkpoint open_checkpoint(const Source& source);

// Requires a vision-language checkpoint that sees the image as positions before the text. Throws
// kMismatch for a decoder or a vision tower alone, with `advice` in the message, and kUnsupported for cross
// attention.
void require_prefix_vlm(const Checkpoint& checkpoint, std::string_view advice);

// Names joined for a message; very many are cut off.
std::string listed(const std::vector<std::string>& names);

// Hands the tensors of a checkpoint to a family, which declares each by name and shape. Nothing
// throws until finish(), which reports all missing keys, unexpected keys and wrong shapes at once.
class WeightTaker {
 public:
  explicit WeightTaker(const Checkpoint& checkpoint) : checkpoint_(checkpoint) {}

  // The tensor, or zeros of that shape when the tensor is missing (finish() will throw).
  WeightPtr take(const std::string& name, const Shape& shape);
  [[nodiscard]] bool has(const std::string& name) const {
    return checkpoint_.tensors.contains(name);
  }
  // Marks tensors under this prefix as known but unused; returns their size in bytes.
  uint64_t drop(const std::string& prefix);
  // Every tensor whose name starts with one of `prefixes` must have been taken or dropped. Throws
  // kMismatch, naming the folders that hold (or should hold) the tensors at fault and the configs
  // that ask for them.
  void finish(const std::vector<std::string>& prefixes) const;

 private:
  [[nodiscard]] std::string at_fault(const std::set<std::string>& names) const;

  const Checkpoint& checkpoint_;
  std::set<std::string> taken_;
  std::set<std::string> faulty_;  // names of the missing and misshapen ones
  std::vector<std::string> missing_;
  std::vector<std::string> misshapen_;
};

}  // namespace lorapress

#endif  // LORAPRESS_CHECKPOINT_CHECKPOINT_H_
