// "graph_files" of lorapress.json: facts of a graph that a client would otherwise have to read the graph for.
#ifndef LORAPRESS_BUNDLES_GRAPH_FILES_H_
#define LORAPRESS_BUNDLES_GRAPH_FILES_H_

#include <optional>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "base/json.h"

namespace onnx {
class GraphProto;
}

namespace lorapress {

struct GraphFile {
  // Weight files that the graph reads, relative to the folder.
  std::vector<std::string> external_data;
  std::optional<DType> cache_dtype;  // kF32 or kF16; none where the graph has no cache ports
  // All layers but the first, and without the cache of token ids (graph_rules.h), may have one buffer as past and present: their only reader and writer is
  // GroupQueryAttention, which gets the true lengths from other inputs. No other node may see a buffer
  // that is longer than the first layer's: ONNX Runtime plans memory by the names of dimensions, which
  // are the same for all layers.
  bool in_place_cache = false;
  bool integer_products = false;  // MatMulNBits with accuracy_level 4, here or in a body
};

// All fields but external_data, from the final graph.
GraphFile graph_facts(const onnx::GraphProto& graph);

Json graph_file_json(const GraphFile& file);
// Throws kInvalidFile for JSON that graph_file_json() does not write.
GraphFile parse_graph_file(const Json& json, const std::string& where);

}  // namespace lorapress

#endif  // LORAPRESS_BUNDLES_GRAPH_FILES_H_
