#include "engine/pieces.h"

#include <algorithm>
#include <map>
#include <set>

#include "engine/session.h"

namespace lorapress::engine {
namespace {

using Names = std::set<std::string>;

// What a node and its bodies read, without what the bodies make themselves.
void add_reads(const NodeDef& node, Names& reads);

void add_reads(const GraphDef& body, Names& reads) {
  Names inner;
  for (const NodeDef& node : body.nodes) {
    add_reads(node, inner);
  }
  for (const PortDef& port : body.outputs) {
    inner.insert(port.name);
  }
  const auto forget = [&](const auto& defs) {
    for (const auto& def : defs) {
      inner.erase(def.name);
    }
  };
  forget(body.initializers);
  forget(body.inputs);
  for (const NodeDef& node : body.nodes) {
    for (const std::string& name : node.outputs) {
      inner.erase(name);
    }
  }
  reads.merge(inner);
}

void add_reads(const NodeDef& node, Names& reads) {
  for (const std::string& name : node.inputs) {
    if (!name.empty()) {
      reads.insert(name);
    }
  }
  for (const AttributeDef& attribute : node.attributes) {
    if (attribute.graph != nullptr) {
      add_reads(*attribute.graph, reads);
    }
  }
}

// The graph's nodes in short: what each reads, and where values are read last.
struct Uses {
  explicit Uses(const GraphDef& graph) : reads(graph.nodes.size()) {
    for (size_t i = 0; i < graph.nodes.size(); ++i) {
      add_reads(graph.nodes[i], reads[i]);
      for (const std::string& name : reads[i]) {
        last[name] = i;
      }
    }
    for (const PortDef& port : graph.outputs) {
      last[port.name] = graph.nodes.size();
    }
  }
  std::vector<Names> reads;
  std::map<std::string, size_t> last;  // the node; behind all nodes for the graph's results
};

// Where pieces end: within the last half of what a piece may have, where the fewest values pass from one to the next,
// so that patterns that fuse stay together.
std::vector<size_t> cut(const GraphDef& graph, uint64_t most_bytes) {
  const Uses uses(graph);
  std::map<std::string, uint64_t> weights;
  for (const TensorDef& tensor : graph.initializers) {
    weights[tensor.name] = tensor.bytes;
  }
  std::vector<size_t> ends;
  uint64_t bytes = 0;
  int64_t live = 0;                  // values made so far that are read later
  std::map<size_t, int64_t> passes;  // end of a piece that may end here -> values that pass
  std::map<size_t, int64_t> dying;
  std::vector<uint64_t> of_node(graph.nodes.size());
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    for (const std::string& name : uses.reads[i]) {
      const auto weight = weights.find(name);
      of_node[i] += weight == weights.end() ? 0 : weight->second;
    }
    if (bytes != 0 && bytes + of_node[i] > most_bytes) {
      size_t best = i;
      int64_t least = INT64_MAX;
      for (const auto& [end, count] : passes) {
        if (count <= least) {
          best = end;
          least = count;
        }
      }
      ends.push_back(best);
      bytes = 0;
      for (size_t j = best; j < i; ++j) {
        bytes += of_node[j];
      }
      std::erase_if(passes, [&](const auto& entry) { return entry.first <= best; });
    }
    bytes += of_node[i];
    for (const std::string& name : graph.nodes[i].outputs) {
      const auto last = uses.last.find(name);
      if (last != uses.last.end()) {
        ++live;
        ++dying[last->second];
      }
    }
    live -= dying[i];
    if (bytes * 2 > most_bytes) {
      passes[i + 1] = live;
    }
  }
  if (ends.empty() || ends.back() != graph.nodes.size()) {
    ends.push_back(graph.nodes.size());
  }
  return ends;
}

int32_t onnx_type(Type type) {
  static constexpr OnnxType kOnnx[] = {OnnxType::kFloat,
                                       OnnxType::kInt64,
                                       OnnxType::kInt32,
                                       OnnxType::kInt8,
                                       OnnxType::kUint8,
                                       OnnxType::kBool};
  return static_cast<int32_t>(kOnnx[static_cast<size_t>(type)]);
}

Tensor copied(Pool& memory, const Tensor& tensor) {
  Tensor copy(memory, tensor.type(), tensor.dims());
  std::copy_n(tensor.data(), tensor.bytes(), copy.data());
  return copy;
}

}  // namespace

Pieces::Pieces(const Sources& sources, uint64_t most_bytes) : sources_(sources) {
  ModelDef model = read_onnx_file(sources.graph());
  for (const TensorDef& tensor : model.graph.initializers) {
    require_stored(tensor, sources);
  }
  ends_ = cut(model.graph, most_bytes);
  const Program program = compile(std::move(model));
  inputs_ = program.inputs;
  outputs_ = program.outputs;
}

void Pieces::run(Workers& workers,
                 std::span<const Tensor> feeds,
                 std::span<Tensor> results,
                 Pool& memory) const {
  ModelDef model = read_onnx_file(sources_.graph());
  GraphDef& graph = model.graph;
  const Uses uses(graph);
  std::map<std::string, Tensor> live;
  for (size_t i = 0; i < feeds.size() && i < inputs_.size(); ++i) {
    live[inputs_[i].name] = feeds[i];
  }
  size_t first = 0;
  for (const size_t end : ends_) {
    ModelDef piece;
    piece.opsets = model.opsets;
    Names reads;
    Names made;
    for (size_t i = first; i < end; ++i) {
      reads.insert(uses.reads[i].begin(), uses.reads[i].end());
      made.insert(graph.nodes[i].outputs.begin(), graph.nodes[i].outputs.end());
      piece.graph.nodes.push_back(std::move(graph.nodes[i]));
    }
    for (const TensorDef& tensor : graph.initializers) {
      if (reads.contains(tensor.name)) {
        piece.graph.initializers.push_back(tensor);
      }
    }
    std::vector<Tensor> given;
    for (const std::string& name : reads) {
      if (const auto value = live.find(name); value != live.end()) {
        piece.graph.inputs.push_back({name, onnx_type(value->second.type()), value->second.dims()});
        given.push_back(value->second);
      }
    }
    for (const std::string& name : made) {
      if (const auto last = uses.last.find(name); last != uses.last.end() && last->second >= end) {
        piece.graph.outputs.push_back({name, 0, {}});
      }
    }
    const Session session(sources_, std::move(piece), workers);
    Run run;
    session.prepare(run, workers);
    std::vector<Tensor> kept(session.outputs().size());
    session.run(run, given, kept);
    for (size_t i = 0; i < kept.size(); ++i) {
      live[session.outputs()[i].name] = copied(memory, kept[i]);
    }
    kept.clear();
    given.clear();
    std::erase_if(live, [&](const auto& entry) {
      const auto last = uses.last.find(entry.first);
      return last == uses.last.end() || last->second < end;
    });
    first = end;
  }
  for (size_t i = 0; i < results.size() && i < outputs_.size(); ++i) {
    const auto value = live.find(outputs_[i].name);
    if (value == live.end()) {
      refuse(Problem::kUnsupported, "output " + outputs_[i].name + " is a constant");
    }
    results[i] = value->second;
  }
}

}  // namespace lorapress::engine
