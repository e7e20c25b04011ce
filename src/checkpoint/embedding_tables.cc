#include "checkpoint/embedding_tables.h"

#include <algorithm>
#include <tuple>

#include "base/fail.h"
#include "checkpoint/added_tokens.h"
#include "checkpoint/model_types.h"
#include "weights/table_rows.h"

namespace lorapress {
namespace {

constexpr std::string_view kWeight = ".weight";

// The canonical names of the tables' weights: for the lookup, for the logits.
std::pair<std::string, std::string> table_names(const Checkpoint& checkpoint) {
  const TextNames& names = text_names(checkpoint.text ? checkpoint.text->model_type : "");
  const auto name = [](std::string_view module) {
    return std::string("language_model.").append(module).append(kWeight);
  };
  return {name(names.input_table), name(names.output_table)};
}

std::string module_of(const std::string& name) {
  return name.substr(0, name.size() - kWeight.size());
}

void set_flag(Json& config, bool tied) {
  config["tie_word_embeddings"] = tied;
}

bool own_text_config(const Checkpoint& checkpoint) {
  const Json& config = checkpoint.config;
  const auto found =
      config.find(checkpoint.composite == nullptr ? "text_config" : checkpoint.composite->text_key);
  return find_model_type(text_model_types(), config.value("model_type", "")) != nullptr ||
         (found != config.end() && found->is_object());
}

// "language_model.model.embed_tokens.weight" -> "embed_tokens"
std::string short_name(const std::string& name) {
  const std::string module = module_of(name);
  return module.substr(module.rfind('.') + 1);
}

}  // namespace

EmbeddingTables::EmbeddingTables(Checkpoint& checkpoint) : checkpoint_(checkpoint) {
  std::tie(input_, output_) = table_names(checkpoint);
}

bool EmbeddingTables::is_table(const Checkpoint& checkpoint, std::string_view name) {
  const auto [input, output] = table_names(checkpoint);
  return name == input || name == output;
}

bool EmbeddingTables::tied_base() const {
  return (checkpoint_.text && checkpoint_.text->tie_word_embeddings) || !implied_.empty();
}

bool EmbeddingTables::shared() const {
  const auto& tensors = checkpoint_.tensors;
  const auto input = tensors.find(input_);
  const auto output = tensors.find(output_);
  return input != tensors.end() && output != tensors.end() &&
         input->second.weight == output->second.weight;
}

void EmbeddingTables::share(const std::string& from, const std::string& to) {
  checkpoint_.tensors[to] = {checkpoint_.tensors.at(from).weight, to};
}

void EmbeddingTables::end_folder() {
  if (!tied_base()) {
    return;
  }
  const auto& tensors = checkpoint_.tensors;
  const bool input = tensors.contains(input_);
  const bool output = tensors.contains(output_);
  if (input != output) {
    share(input ? input_ : output_, input ? output_ : input_);
  } else if (input && !shared() &&
             same_values(*tensors.at(input_).weight, *tensors.at(output_).weight)) {
    share(input_, output_);
  }
}

void EmbeddingTables::end_base() {
  const bool input = checkpoint_.tensors.contains(input_);
  const bool output = checkpoint_.tensors.contains(output_);
  if (checkpoint_.text && input != output) {
    implied_ = input ? output_ : input_;
    share(other_of(implied_), implied_);
    implied_weight_ = checkpoint_.tensors.at(implied_).weight;
  }
}

void EmbeddingTables::spread(Adapter& adapter) const {
  if (checkpoint_.text) {
    spread_tensors(adapter);
    spread_lora(adapter);
  }
}

void EmbeddingTables::spread_tensors(Adapter& adapter) const {
  const TrainedModules& trained = adapter.config.trained;
  const auto given = [&](const std::string& name) {
    return adapter.originals.contains(name) || adapter.replacements.contains(name);
  };
  for (const std::string& name : {input_, output_}) {
    const std::string& other = other_of(name);
    const auto original = adapter.originals.find(name);
    if (original != adapter.originals.end() && shared() && !given(other)) {
      adapter.originals[other] = original->second;
    }
    const auto replacement = adapter.replacements.find(name);
    if (replacement == adapter.replacements.end() || adapter.replacements.contains(other)) {
      continue;
    }
    // A table outside of modules_to_save is the base's own, stored because it was resized or
    // because a LoRA is applied to it.
    const bool of_base = adapter.own_folder && !trained.saves(module_of(name));
    if ((of_base && shared() && !given(other)) || (trained.ensure_weight_tying && tied_base())) {
      adapter.replacements[other] = replacement->second;
    }
  }
}

// peft/tuners/lora/model.py: lm_head's lora_A is the embedding's lora_embedding_B transposed, its
// lora_B the other's A. A file of a whole model keeps one of each pair.
void EmbeddingTables::spread_lora(Adapter& adapter) const {
  if (!adapter.config.trained.ensure_weight_tying || !tied_base()) {
    return;
  }
  const auto input = adapter.modules.find(input_);
  const auto output = adapter.modules.find(output_);
  if (input == adapter.modules.end() && output == adapter.modules.end()) {
    return;
  }
  if (input == adapter.modules.end() || output == adapter.modules.end()) {
    const bool from_input = output == adapter.modules.end();
    adapter.modules[from_input ? output_ : input_] = (from_input ? input : output)->second;
    return;
  }
  const auto complete = [](WeightPtr& part, const WeightPtr& transposed) {
    if (!part && transposed && transposed->shape().size() == 2) {
      part = transpose(transposed);
    }
  };
  complete(input->second.a, output->second.b);
  complete(input->second.b, output->second.a);
  complete(output->second.a, input->second.b);
  complete(output->second.b, input->second.a);
}

void EmbeddingTables::accept_rows(const Adapter& adapter,
                                  const std::string& name,
                                  const Shape& before,
                                  const Shape& after) {
  const bool rows_alone =
      before.size() == 2 && after.size() == 2 && before[1] == after[1] && is_table(name);
  const std::string why =
      rows_alone ? unexplained_rows(adapter.where, checkpoint_.folders, before[0], after[0]) : "";
  if (!rows_alone || !why.empty()) {
    fail(ErrorCode::kMismatch,
         "{}: {} is [{}], the base has [{}]{}; the adapter was trained for another base",
         adapter.where,
         name,
         fmt::join(after, ", "),
         fmt::join(before, ", "),
         why);
  }
  resized_by_ = adapter.where;
}

// Both tables of a tied base follow the embedding's adapter, unless the configuration has other
// tokens for lm_head (peft/utils/other.py, set_additional_trainable_modules).
void EmbeddingTables::replace_tokens(const Adapter& adapter) {
  const TrainedModules& trained = adapter.config.trained;
  const auto rows_of = [&](const std::string& name) {
    const auto found = adapter.token_rows.find(name);
    return found == adapter.token_rows.end() ? nullptr : found->second;
  };
  for (const auto& [name, rows] : adapter.token_rows) {
    if (!is_table(name) || !checkpoint_.tensors.contains(name)) {
      fail(ErrorCode::kUnsupported,
           "{}: trainable_tokens_delta of {}; it is supported for {} and {}",
           adapter.where,
           module_of(name),
           short_name(input_),
           short_name(output_));
    }
  }
  const TrainedTokens* input = trained.tokens(module_of(input_), true);
  const TrainedTokens* output = trained.tokens(module_of(output_), false);
  const bool follows =
      tied_base() && input != nullptr && (output == nullptr || output->indices == input->indices);
  for (const std::string& name : {input_, output_}) {
    const WeightPtr own = rows_of(name);
    const WeightPtr rows = follows && !own ? rows_of(other_of(name)) : own;
    const TrainedTokens* tokens = follows ? input : name == input_ ? input : output;
    if (!rows && tokens == nullptr) {
      continue;
    }
    if (!rows || tokens == nullptr) {
      fail(ErrorCode::kMismatch,
           "{}: {} has {}; save the adapter again with its adapter_config.json",
           adapter.where,
           module_of(name),
           rows ? "a trainable_tokens_delta, but no trainable_token_indices say which rows"
                : "trainable_token_indices, but no trainable_tokens_delta");
    }
    replace_rows_of(adapter, name, rows, tokens->indices);
  }
}

void EmbeddingTables::replace_rows_of(const Adapter& adapter,
                                      const std::string& name,
                                      const WeightPtr& rows,
                                      const std::vector<int64_t>& indices) {
  ModelTensor& table = checkpoint_.tensors.at(name);
  const std::string module = module_of(name);
  if (table.unmerged) {
    fail(ErrorCode::kUnsupported,
         "{}: {} has both a LoRA and trained tokens, which is not supported; train tokens of a "
         "table "
         "that has no LoRA",
         adapter.where,
         module);
  }
  for (const int64_t index : indices) {
    if (!token_rows_[name].insert(index).second) {
      fail(ErrorCode::kUnsupported,
           "{}: token {} of {} is trained by two adapters; only one can replace its row",
           adapter.where,
           index,
           module);
    }
  }
  const Shape before = table.weight->shape();
  try {
    table.weight = replace_rows(table.weight, rows, indices);
  } catch (const Error& error) {
    throw Error(error.code(),
                fmt::format("{}: {}: trainable_token_indices: {}; save the adapter with "
                            "save_embedding_layers=True, or take the base that was trained",
                            adapter.where,
                            module,
                            error.what()));
  }
  table.adapted = true;
  if (table.weight->shape() != before) {
    accept_rows(adapter, name, before, table.weight->shape());
  }
}

void EmbeddingTables::resolve() {
  auto& tensors = checkpoint_.tensors;
  const auto input = tensors.find(input_);
  const auto output = tensors.find(output_);
  if (!checkpoint_.text || input == tensors.end() || output == tensors.end()) {
    return;  // WeightTaker reports the missing table
  }
  const Weight& first = *input->second.weight;
  const Weight& second = *output->second.weight;
  settle_rows(first, second);
  checkpoint_.output_table = output->second.weight;
  const bool equal = same_values(first, second);
  note_tie(equal);
  if (equal) {
    tensors.erase(output);
  }
  if (equal != checkpoint_.text->tie_word_embeddings) {
    checkpoint_.text->tie_word_embeddings = equal;
    set_flag(checkpoint_.text_json, equal);
    set_flag(checkpoint_.config, equal);
  } else if (checkpoint_.config.contains("tie_word_embeddings")) {
    set_flag(checkpoint_.config, equal);
  }
}

void EmbeddingTables::settle_rows(const Weight& input, const Weight& output) {
  if (input.shape().size() != 2 || output.shape().size() != 2) {
    return;
  }
  const int64_t rows = input.rows();
  if (resized_by_.empty()) {
    if (rows == output.rows()) {
      take_rows_of_checkpoint(rows);
    }
    return;
  }
  if (rows != output.rows()) {
    fail(ErrorCode::kMismatch,
         "{}: {} has {} rows and {} {}; the rows of the added tokens are not all in "
         "the adapter; save it again with both tables (modules_to_save or save_embedding_layers)",
         resized_by_,
         short_name(input_),
         rows,
         short_name(output_),
         output.rows());
  }
  if (rows != checkpoint_.text->vocab_size) {
    checkpoint_.notes.push_back(fmt::format(
        "vocab_size is {} instead of {}: the tables of {} were resized for added tokens",
        rows,
        checkpoint_.text->vocab_size,
        resized_by_));
    set_vocab_size(rows);
  }
}

// For a checkpoint whose text_config still describes the model that training began with.
void EmbeddingTables::take_rows_of_checkpoint(int64_t rows) {
  const int64_t known = checkpoint_.text->vocab_size;
  if (rows == known || own_text_config(checkpoint_)) {
    return;
  }
  const auto tokens = tokenizer_rows({checkpoint_.folders.at(0)});
  if (tokens && *tokens <= rows) {
    checkpoint_.notes.push_back(
        fmt::format("vocab_size is {} instead of {}: the tables of {} were resized, its tokenizer "
                    "has {} tokens",
                    rows,
                    known,
                    checkpoint_.folder.string(),
                    *tokens));
    set_vocab_size(rows);
  }
}

void EmbeddingTables::set_vocab_size(int64_t rows) {
  checkpoint_.text->vocab_size = rows;
  checkpoint_.text_json["vocab_size"] = rows;
  if (checkpoint_.config.contains("vocab_size")) {
    checkpoint_.config["vocab_size"] = rows;
  }
}

void EmbeddingTables::note_tie(bool equal) {
  std::vector<std::string>& notes = checkpoint_.notes;
  const auto& tensors = checkpoint_.tensors;
  const auto was_implied = [&](const ModelTensor& tensor) {  // and no adapter replaced it
    return tensor.weight == implied_weight_ || tensor.unmerged == implied_weight_ ||
           token_rows_.contains(implied_);
  };
  if (!implied_.empty() && was_implied(tensors.at(implied_))) {
    notes.push_back(fmt::format(
        "{} is absent though tie_word_embeddings is not true: {} stands for both; if it "
        "was lost, save the model again",
        module_of(implied_),
        module_of(other_of(implied_))));
  } else if (equal && !checkpoint_.text->tie_word_embeddings) {
    notes.push_back(
        fmt::format("{} and {} are equal: they are kept once, tie_word_embeddings is true",
                    short_name(input_),
                    short_name(output_)));
  }
  if (!equal && checkpoint_.text->tie_word_embeddings) {
    const bool lora = tensors.at(input_).unmerged || tensors.at(output_).unmerged;
    notes.push_back(fmt::format(
        "{} and {} differ: both tables are kept, tie_word_embeddings is false{}",
        short_name(input_),
        short_name(output_),
        lora ? ", as the trained model computes (PEFT's merge_and_unload() changes both tables)"
             : ""));
  }
}

}  // namespace lorapress
