#include "bundles/graph_files.h"

#include <algorithm>
#include <array>
#include <map>

#include "base/fail.h"
#include "graph/bodies.h"
#include "graph/ops.h"
#include "graph/ports.h"
#include "onnx/onnx-ml.pb.h"

namespace lorapress {
namespace {

bool is_cached_attention(const onnx::NodeProto& node, int64_t layer, CacheKind kind) {
  const auto is_port = [&](const std::string& name, CacheSide side, CachePart part) {
    return name == cache_port(side, layer, part, kind);
  };
  return node.domain() == kMicrosoftDomain && node.op_type() == "GroupQueryAttention" &&
         node.input_size() >= 5 && node.output_size() >= 3 &&
         is_port(node.input(3), CacheSide::kPast, CachePart::kKey) &&
         is_port(node.input(4), CacheSide::kPast, CachePart::kValue) &&
         is_port(node.output(1), CacheSide::kPresent, CachePart::kKey) &&
         is_port(node.output(2), CacheSide::kPresent, CachePart::kValue);
}

// Attention alone reads the caches of all layers but the first; bodies, which may read any value of
// the graph, do not.
bool attends_in_place(const onnx::GraphProto& graph, int64_t layers, CacheKind kind) {
  std::map<std::string, std::vector<const onnx::NodeProto*>> readers;
  for_each_graph(graph, [&](const onnx::GraphProto& part) {
    for (const onnx::NodeProto& node : part.node()) {
      for (const std::string& input : node.input()) {
        readers[input].push_back(&node);
      }
    }
  });
  const auto alone = [&](const std::vector<const onnx::NodeProto*>& found) {
    return found.size() == 1 && std::ranges::any_of(graph.node(), [&](const onnx::NodeProto& node) {
             return &node == found[0];
           });
  };
  for (int64_t layer = 1; layer < layers; ++layer) {
    const auto& found = readers[cache_port(CacheSide::kPast, layer, CachePart::kKey, kind)];
    if (!alone(found) ||
        readers[cache_port(CacheSide::kPast, layer, CachePart::kValue, kind)] != found ||
        !is_cached_attention(*found[0], layer, kind)) {
      return false;
    }
  }
  return layers > 0;
}

// Whether the port holds token ids in place of keys or values.
bool holds_ids(const onnx::ValueInfoProto& port) {
  const auto& dims = port.type().tensor_type().shape().dim();
  return dims.size() == 4 && dims[2].dim_param() == kPastIdsLength;
}

bool multiplies_integers(const onnx::GraphProto& main) {
  constexpr int64_t kInt8 = 4;  // MatMulNBits, accuracy_level
  bool found = false;
  for_each_graph(main, [&](const onnx::GraphProto& graph) {
    for (const onnx::NodeProto& node : graph.node()) {
      found = found || (node.op_type() == "MatMulNBits" &&
                        std::ranges::any_of(node.attribute(), [](const auto& attribute) {
                          return attribute.name() == "accuracy_level" && attribute.i() == kInt8;
                        }));
    }
  });
  return found;
}

}  // namespace

GraphFile graph_facts(const onnx::GraphProto& graph) {
  GraphFile facts;
  int64_t past = 0;  // of the tokens' own cache
  CacheKind kind = CacheKind::kOnly;
  for (const auto* ports : {&graph.input(), &graph.output()}) {
    for (const onnx::ValueInfoProto& port : *ports) {
      if (is_encoder_cache_port(port.name())) {
        kind = CacheKind::kDecoder;
      } else if (is_cache_port(port.name())) {
        facts.cache_dtype = dtype_from_onnx(port.type().tensor_type().elem_type());
        past += ports == &graph.input() && !holds_ids(port) ? 1 : 0;
      }
    }
  }
  facts.in_place_cache = attends_in_place(graph, past / std::ssize(kCacheParts), kind);
  facts.integer_products = multiplies_integers(graph);
  return facts;
}

Json graph_file_json(const GraphFile& file) {
  Json json = {{"external_data", file.external_data}, {"integer_products", file.integer_products}};
  if (file.cache_dtype) {
    json["cache_dtype"] = dtype_name(*file.cache_dtype);
    json["in_place_cache"] = file.in_place_cache;
  }
  return json;
}

GraphFile parse_graph_file(const Json& json, const std::string& where) {
  GraphFile file;
  file.integer_products = json_get<bool>(json, "integer_products", where);
  const auto data = json.find("external_data");
  if (data == json.end() || !data->is_array() || !std::ranges::all_of(*data, &Json::is_string)) {
    fail(ErrorCode::kInvalidFile, "{}: \"external_data\" is not a list of paths", where);
  }
  file.external_data = data->get<std::vector<std::string>>();
  std::ranges::sort(file.external_data);
  if (std::ranges::adjacent_find(file.external_data) != file.external_data.end()) {
    fail(ErrorCode::kInvalidFile, "{}: \"external_data\" names a file twice", where);
  }
  size_t known = 2;
  if (json.contains("cache_dtype")) {
    const auto name = json_get<std::string>(json, "cache_dtype", where);
    constexpr std::array kTypes = {DType::kF32, DType::kF16};
    const auto* const type = std::ranges::find(kTypes, name, dtype_name);
    if (type == kTypes.end()) {
      fail(ErrorCode::kInvalidFile,
           "{}: \"cache_dtype\" is {}, expected float32 or float16",
           where,
           Json(name).dump(-1, ' ', true).substr(0, 80));
    }
    file.cache_dtype = *type;
    file.in_place_cache = json_get<bool>(json, "in_place_cache", where);
    known += 2;
  }
  if (json.size() != known) {
    fail(ErrorCode::kInvalidFile,
         "{}: has an unknown key, expected external_data, integer_products and, with a cache, "
         "cache_dtype and in_place_cache",
         where);
  }
  return file;
}

}  // namespace lorapress
