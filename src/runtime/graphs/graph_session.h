// A loaded graph as any client calls it: named tensors in, named tensors out, whatever engine runs it. For code that
// examines files (verify, calibration, the trial run of bundles without a decoder); captions are made through
// runtime/engine/decoder.h.
#ifndef LORAPRESS_RUNTIME_GRAPHS_GRAPH_SESSION_H_
#define LORAPRESS_RUNTIME_GRAPHS_GRAPH_SESSION_H_

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "runtime/graphs/graph_tensor.h"

namespace lorapress {

struct GraphPort {
  std::string name;
  DType dtype;  // as the engine takes and gives it
  Shape shape;  // -1 for symbolic dimensions
};

struct GraphFeed {
  std::string name;
  const GraphTensor* tensor;
};

// Where a graph is, and how it is to be run.
struct GraphSource {
  GraphSource(std::filesystem::path path)  // NOLINT(google-explicit-constructor)
      : file(std::move(path)) {}
  std::filesystem::path file;
  std::vector<std::string> more_outputs =
      {};  // values of the graph that become outputs behind its own
  // Above 0, the project's own engine runs the graph piece by piece and holds about so many bytes of weights at a time.
  uint64_t most_weights = 0;
};

// One thread at a time.
class GraphSession {
 public:
  virtual ~GraphSession() = default;

  [[nodiscard]] virtual const std::vector<GraphPort>& inputs() const = 0;
  [[nodiscard]] virtual const std::vector<GraphPort>& outputs() const = 0;
  // Returns the outputs of these names, in that order. Throws kRuntime, naming the file.
  [[nodiscard]] virtual std::vector<GraphTensor> run(
      const std::vector<GraphFeed>& feeds, const std::vector<std::string>& wanted) const = 0;
};

}  // namespace lorapress

#endif  // LORAPRESS_RUNTIME_GRAPHS_GRAPH_SESSION_H_
