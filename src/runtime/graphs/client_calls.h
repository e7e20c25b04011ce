// A decoder graph as any client of the bundle calls it: ids, image tokens and the whole cache go in as
// tensors, logits and a longer cache come out. Nothing is bound, shared or written in place, so that
// the graph itself is observed and no engine's Decoder. For code that examines graphs: verify, calibration
// and tests. Captions are made through runtime/engine/decoder.h.
#ifndef LORAPRESS_RUNTIME_GRAPHS_CLIENT_CALLS_H_
#define LORAPRESS_RUNTIME_GRAPHS_CLIENT_CALLS_H_

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "runtime/graphs/cache_layout.h"
#include "runtime/graphs/graph_session.h"

namespace lorapress {

class ClientCalls {
 public:
  struct Step {
    GraphTensor logits;              // as the graph gives them
    std::vector<GraphTensor> cache;  // for the next call, in the order of past()
  };

  explicit ClientCalls(const CacheLayout& layout);
  // The layout is read from the cache's ports. Throws kUnsupported for a graph without them.
  explicit ClientCalls(const GraphSession& decoder);

  // Names of the cache's inputs; "logits" and names of the cache's outputs, in the same order.
  [[nodiscard]] const std::vector<std::string>& past() const { return past_; }
  [[nodiscard]] const std::vector<std::string>& outputs() const { return outputs_; }

  [[nodiscard]] std::vector<GraphTensor> empty_cache(int64_t rows) const;
  // The inputs of a call; without an image where the graph takes none. The tensors must outlive them.
  [[nodiscard]] std::vector<GraphFeed> feeds(const GraphTensor& ids,
                                             const GraphTensor* image,
                                             std::span<const GraphTensor> cache) const;

  // The same for a decoder that takes embeddings [rows, positions, hidden].
  [[nodiscard]] std::vector<GraphFeed> embeds_feeds(const GraphTensor& embeddings,
                                                    std::span<const GraphTensor> cache) const;

  // The same for a decoder alone, with an attention_mask [rows, positions of cache and ids].
  [[nodiscard]] std::vector<GraphFeed> text_feeds(const GraphTensor& ids,
                                                  const GraphTensor& mask,
                                                  std::span<const GraphTensor> cache) const;

  // One call: ids [rows, positions]. An empty cache makes it the first one, whose first id is the
  // start token, which graphs without cross attention drop. `session` runs as GraphSession does.
  template <typename Session>
  [[nodiscard]] Step step(Session& session,
                          const GraphTensor& ids,
                          const GraphTensor* image,
                          std::span<const GraphTensor> cache) const {
    Step made = to_step(session.run(feeds(ids, image, cache), outputs_));
    keep_encoder(made, cache);
    return made;
  }

  // The results of a run that asked for outputs().
  [[nodiscard]] static Step to_step(std::vector<GraphTensor> outputs);

 private:
  void add_cache(std::span<const GraphTensor> cache, std::vector<GraphFeed>& feeds) const;
  // Keys and values of the encoder are those that the first call gave.
  void keep_encoder(Step& step, std::span<const GraphTensor> cache) const;

  CacheLayout layout_;
  std::vector<std::string> past_;
  std::vector<std::string> outputs_{kLogits};
};

}  // namespace lorapress

#endif  // LORAPRESS_RUNTIME_GRAPHS_CLIENT_CALLS_H_
