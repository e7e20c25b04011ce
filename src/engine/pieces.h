// Runs a graph with few of its weights in memory: piece by piece, of which each is loaded, run and dropped. For runs that
// happen once, as a test of files that were just written; a Session is several times as fast from the second run on.
#ifndef LORAPRESS_ENGINE_PIECES_H_
#define LORAPRESS_ENGINE_PIECES_H_

#include "engine/program.h"

namespace lorapress::engine {

class Pieces {
 public:
  // Checks the whole graph as Session does, but reads no weights. A piece has at most `most_bytes` of weights, or the
  // weights of one node. REQUIRES: `sources` outlives it.
  Pieces(const Sources& sources, uint64_t most_bytes);

  [[nodiscard]] const std::vector<Port>& inputs() const { return inputs_; }
  [[nodiscard]] const std::vector<Port>& outputs() const { return outputs_; }
  [[nodiscard]] size_t count() const { return ends_.size(); }

  // As Session::run(); results are in `memory`.
  void run(Workers& workers,
           std::span<const Tensor> feeds,
           std::span<Tensor> results,
           Pool& memory) const;

 private:
  const Sources& sources_;
  std::vector<Port> inputs_;
  std::vector<Port> outputs_;
  std::vector<size_t> ends_;  // of each piece, the node behind its last one
};

}  // namespace lorapress::engine

#endif  // LORAPRESS_ENGINE_PIECES_H_
