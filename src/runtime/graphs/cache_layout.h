// What a decoder's cache is made of.
#ifndef LORAPRESS_RUNTIME_GRAPHS_CACHE_LAYOUT_H_
#define LORAPRESS_RUNTIME_GRAPHS_CACHE_LAYOUT_H_

#include "base/dtype.h"
#include "graph/ports.h"

namespace lorapress {

struct CacheLayout {
  int64_t layers = 0;
  int64_t heads = 0;
  int64_t head_dim = 0;
  DType dtype = DType::kF32;
  bool in_place = false;  // of all layers but the first
  bool ids = false;  // a pair behind the layers' holds token ids (bundles/graph_rules.h), and grows
  // With cross attention: the encoder's tokens, whose keys and values are a second cache; 0: none.
  int64_t encoder_tokens = 0;
  // Pairs of the tokens' own cache.
  [[nodiscard]] int64_t pairs() const { return layers + (ids ? 1 : 0); }
  // Of the ports of the tokens' own cache.
  [[nodiscard]] CacheKind kind() const {
    return encoder_tokens == 0 ? CacheKind::kOnly : CacheKind::kDecoder;
  }
};

}  // namespace lorapress

#endif  // LORAPRESS_RUNTIME_GRAPHS_CACHE_LAYOUT_H_
