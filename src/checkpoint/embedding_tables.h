// The two embedding tables of a decoder: the one for the lookup (embed_tokens, wte) and the one for
// the logits (lm_head), whose names the decoder's family says (TextNames). In many models both are one tensor ("tied"). Here the tensors decide that, not
// tie_word_embeddings:
//
//   1. a tied base that holds one table holds both, as one weight under two names;
//   2. every adapter changes each name separately, as in the forward that was trained (PEFT gives
//      each module a copy; its merge_and_unload() adds a LoRA to both, which is another model);
//   3. in the end equal tables are tied again, and different ones stay two; tie_word_embeddings is
//      set accordingly.
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
  // REQUIRES: the checkpoint's configs are resolved. For a checkpoint without a decoder all members
  // do nothing.
  explicit EmbeddingTables(Checkpoint& checkpoint);

  // `name` is a canonical one.
  static bool is_table(const Checkpoint& checkpoint, std::string_view name);

  // Call it after the tensors of each base folder, so that no later folder supplies the other table
  // of a pair.
  void end_folder();
  // Call it after all base folders.
  void end_base();
  // Gives the adapter's tensors for a tied pair both names: base tensors that PEFT stored once, and
  // tensors that ensure_weight_tying trained as one.
  void spread(Adapter& adapter) const;
  // Accepts a table whose number of rows an adapter changes. Throws kMismatch where added tokens do
  // not explain the change.
  void accept_rows(const Adapter& adapter,
                   const std::string& name,
                   const Shape& before,
                   const Shape& after);
  // Applies trainable_token_indices. Throws kMismatch, kUnsupported.
  void replace_tokens(const Adapter& adapter);
  // Ties or unties the tables, adds notes, and corrects the configs. Reads both tables where
  // neither identity nor shape decides whether they are equal. Throws kMismatch where the tables
  // have different rows.
  void resolve();

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

  [[nodiscard]] const std::string& other_of(const std::string& name) const {
    return name == input_ ? output_ : input_;
  }
  [[nodiscard]] bool is_table(std::string_view name) const {
    return name == input_ || name == output_;
  }

  Checkpoint& checkpoint_;
  std::string input_;  // canonical names of both tables' weights
  std::string output_;
  std::string implied_;       // the table that the base lacks though its config ties nothing
  WeightPtr implied_weight_;  // the weight used in its place
  std::string resized_by_;    // the adapter that brought other rows
  std::map<std::string, std::set<int64_t>> token_rows_;  // by table: replaced so far
};

}  // namespace lorapress

#endif  // LORAPRESS_CHECKPOINT_EMBEDDING_TABLES_H_
