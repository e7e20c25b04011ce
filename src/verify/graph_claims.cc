#include "verify/graph_claims.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/fail.h"
#include "graph/ports.h"
#include "graph/read_proto.h"

namespace lorapress {
namespace {

// The contents of a graph and its bodies that the manifest describes.
struct Seen {
  std::set<std::string> data;       // external files, as the graph names them
  std::map<std::string, int> uses;  // name -> number of node inputs that read it, in bodies, too
  std::map<std::string, std::string> attended;  // past -> present of each GroupQueryAttention
  bool integer_products = false;
};

void examine(const onnx::TensorProto& tensor, Seen& seen) {
  for (const onnx::StringStringEntryProto& entry : tensor.external_data()) {
    if (entry.key() == "location") {
      seen.data.insert(entry.value());
    }
  }
}

void examine(const onnx::GraphProto& graph, Seen& seen) {
  for (const onnx::TensorProto& tensor : graph.initializer()) {
    examine(tensor, seen);
  }
  for (const onnx::NodeProto& node : graph.node()) {
    for (const std::string& input : node.input()) {
      ++seen.uses[input];
    }
    if (node.op_type() == "GroupQueryAttention" && node.input_size() > 4 &&
        node.output_size() > 2) {
      seen.attended[node.input(3)] = node.output(1);
      seen.attended[node.input(4)] = node.output(2);
    }
    for (const onnx::AttributeProto& attribute : node.attribute()) {
      seen.integer_products =
          seen.integer_products || (node.op_type() == "MatMulNBits" &&
                                    attribute.name() == "accuracy_level" && attribute.i() == 4);
      if (attribute.has_t()) {
        examine(attribute.t(), seen);
      }
      if (attribute.has_g()) {
        examine(attribute.g(), seen);
      }
    }
  }
}

// `ids`: a pair behind the layers' holds the ids so far, which rules inside the decoder read.
bool may_lie_in_place(const onnx::GraphProto& graph, const Seen& seen, bool ids) {
  std::set<std::string> past;  // of the tokens' own cache
  CacheKind kind = CacheKind::kOnly;
  for (const onnx::ValueInfoProto& input : graph.input()) {
    if (is_encoder_cache_port(input.name())) {
      kind = CacheKind::kDecoder;
    } else if (is_cache_port(input.name())) {
      past.insert(input.name());
    }
  }
  const auto lies_in_place = [&](int64_t layer, CachePart part) {
    const std::string name = cache_port(CacheSide::kPast, layer, part, kind);
    const auto present = seen.attended.find(name);
    return past.contains(name) && present != seen.attended.end() && seen.uses.at(name) == 1 &&
           present->second == cache_port(CacheSide::kPresent, layer, part, kind);
  };
  const int64_t layers = std::ssize(past) / 2 - (ids ? 1 : 0);
  bool in_place = layers > 0;
  for (int64_t layer = 1; in_place && layer < layers; ++layer) {
    in_place = lies_in_place(layer, CachePart::kKey) && lies_in_place(layer, CachePart::kValue);
  }
  return in_place;
}

// The facts in the form of the manifest.
Json true_claims(const std::filesystem::path& folder, const std::string& path, bool ids) {
  const SlimModel model = read_slim(folder / path, /*numbers=*/false);
  const onnx::GraphProto& graph = model.proto.graph();
  Seen seen;
  examine(graph, seen);
  std::set<std::string> data;
  for (const std::string& location : seen.data) {
    const std::filesystem::path file = std::filesystem::path(path).parent_path() / location;
    data.insert(file.lexically_normal().generic_string());
  }
  Json claims = {{"external_data", data}, {"integer_products", seen.integer_products}};
  std::set<std::string> types;
  for (const auto* ports : {&graph.input(), &graph.output()}) {
    for (const onnx::ValueInfoProto& port : *ports) {
      if (is_cache_port(port.name())) {
        const auto type = dtype_from_onnx(port.type().tensor_type().elem_type());
        types.emplace(type ? dtype_name(*type) : "unknown");
      }
    }
  }
  if (!types.empty()) {
    claims["cache_dtype"] = fmt::format("{}", fmt::join(types, " and "));
    claims["in_place_cache"] = may_lie_in_place(graph, seen, ids);
  }
  return claims;
}

}  // namespace

std::vector<std::string> false_graph_claims(const std::filesystem::path& folder,
                                            const Manifest& manifest,
                                            const std::string& dtype) {
  std::vector<std::string> faults;
  if (manifest.format_version == 1) {
    return faults;
  }
  for (const auto& [role, path] : manifest.graphs.at(dtype)) {
    const Json claimed = graph_file_json(manifest.graph_files.at(path));
    Json found;
    try {
      found = true_claims(folder, path, !manifest.rules_in_graph.empty());
    } catch (const Error& error) {
      faults.emplace_back(error.what());
      continue;
    }
    for (const char* key : {"external_data", "cache_dtype", "in_place_cache", "integer_products"}) {
      if (claimed.value(key, Json()) != found.value(key, Json())) {
        faults.push_back(fmt::format("{}: {}: \"{}\" is {}, the graph has {}",
                                     kManifestName,
                                     path,
                                     key,
                                     claimed.value(key, Json()).dump(),
                                     found.value(key, Json()).dump()));
      }
    }
  }
  return faults;
}

}  // namespace lorapress
