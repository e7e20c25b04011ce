// The whole generation loop as nodes: greedy and beam search around any decoder.
#ifndef LORAPRESS_BLOCKS_GENERATION_H_
#define LORAPRESS_BLOCKS_GENERATION_H_

#include <functional>
#include <string>
#include <vector>

#include "blocks/decoder.h"
#include "blocks/token_rules.h"

namespace lorapress {

// One call of the decoder: embeddings [rows, sequence, hidden] and the cache of the positions
// before. Emitted once, inside the loop: the first iteration sees the prefix and an empty cache,
// the later ones one token.
using DecodeStep =
    std::function<DecoderOutput(const Value& embeddings, const std::vector<KeyValue>& past)>;

struct Generation {
  DecodeStep step;
  Value table;                       // [vocab, hidden]: the embeddings of tokens
  Value prefix;                      // [batch, tokens, hidden]
  std::vector<KeyValue> empty_past;  // [batch, kv_heads, 0, head_dim]; sizes must be known
  Value max_new_tokens;              // int64 scalar, at least 1
  std::vector<int64_t> eos_token_ids;
  int64_t pad_token_id = 0;
  LoopRules rules;
};

// The settings of the same names in transformers' generate().
struct LoopBeams {
  int64_t num_beams = 2;
  double length_penalty = 1.0;
  bool first_are_enough = false;    // early_stopping = True
  bool only_the_best_ends = false;  // early_stopping = "never"
};

// -> int64 [batch, new]. A row that has ended is padded; the loop ends when all rows have ended. As
// GenerationMixin._sample of transformers with do_sample off.
Value greedy_search(const Builder& b, const std::string& scope, const Generation& generation);

// -> int64 [batch, new]: the best sequence of each row. REQUIRES num_beams * max(2, 1 + eos tokens)
// candidates in the vocabulary. As GenerationMixin._beam_search of transformers 5.
Value beam_search(const Builder& b,
                  const std::string& scope,
                  const Generation& generation,
                  const LoopBeams& beams);

}  // namespace lorapress

#endif  // LORAPRESS_BLOCKS_GENERATION_H_
