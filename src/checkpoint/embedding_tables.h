// The two tables of a decoder: embed_tokens, which looks up, and lm_head, which gives logits. In
// many models they are one ("tied"). Here the tensors decide that, not tie_word_embeddings:
//
//   1. a tied base that holds one table holds both, as one weight under two names;
//   2. every adapter changes either name by itself, as it does in the forward that was trained
//   (PEFT
//      gives each module a copy; its merge_and_unload() adds a LoRA to both, which is another
//      model);
//   3. in the end equal tables are one again, and different ones stay two; the config says which.
//
// Tables that were resized for added tokens bring a new vocab_size.
#ifndef LORAPRESS_CHECKPOINT_EMBEDDING_TABLES_H_
#define LORAPRESS_CHECKPOINT_EMBEDDING_TABLES_H_

#include <string>
#include <string_view>

#include "checkpoint/checkpoint.h"

namespace lorapress {

class EmbeddingTables {
 public:
  // REQUIRES: the checkpoint's configs are resolved. Without a decoder nothing here does anything.
  explicit EmbeddingTables(Checkpoint& checkpoint) : checkpoint_(checkpoint) {}

  static bool is_table(std::string_view name);

  // After the tensors of each base folder, so that no later folder gives the other half of a pair.
  void end_folder();
  // After all base folders.
  void end_base();
  // What is meant for both tables of a tied base under both names: tensors of the base that PEFT
  // stored once, and what ensure_weight_tying trained as one.
  void spread(Adapter& adapter) const;
  // Of a table that gets another number of rows. Throws kMismatch where added tokens do not explain
  // that.
  void accept_rows(const Adapter& adapter,
                   const std::string& name,
                   const Shape& before,
                   const Shape& after);
  // trainable_token_indices. Throws kMismatch, kUnsupported.
  void replace_tokens(const Adapter& adapter);
  // Ties or unties, says what a user should know, and corrects the configs. Reads both tables where
  // neither identity nor shape tells. Throws kMismatch where the tables have different rows.
  void settle();

 private:
  [[nodiscard]] bool tied_base() const;
  [[nodiscard]] bool shared() const;
  void share(const std::string& from, const std::string& to);
  void spread_tensors(Adapter& adapter) const;
  void spread_lora(Adapter& adapter) const;
  void replace_rows_of(const Adapter& adapter,
                       const std::string& name,
                       const WeightPtr& rows,
                       const std::vector<int64_t>& indices);
  void settle_rows(const Weight& input, const Weight& output);
  void take_rows_of_checkpoint(int64_t rows);
  void set_vocab_size(int64_t rows);
  void note_tie(bool equal);

  Checkpoint& checkpoint_;
  std::string implied_;       // the table that the base lacks though its config ties nothing
  WeightPtr implied_weight_;  // what stands for that one
  std::string resized_by_;    // the adapter that brought other rows
  std::map<std::string, std::set<int64_t>> token_rows_;  // by table: replaced so far
};

}  // namespace lorapress

#endif  // LORAPRESS_CHECKPOINT_EMBEDDING_TABLES_H_
