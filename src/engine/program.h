// A graph as the engine runs it: values with types, and nodes in order. The way there:
//
//   file ── read_onnx_file ── compile (names become slots; operators, attributes and types are checked)
//        ── fold (what depends on constants alone is computed) ── fuse ── finish (weights are read, packed; ends)
#ifndef LORAPRESS_ENGINE_PROGRAM_H_
#define LORAPRESS_ENGINE_PROGRAM_H_

#include <deque>
#include <optional>

#include "engine/onnx_file.h"
#include "engine/op.h"

namespace lorapress::engine {

struct Value {
  std::string name;
  Type type = Type::kF32;
  int level = 0;                    // of bodies around it
  std::optional<TensorDef> stored;  // an initializer
  Tensor constant;                  // its numbers once they are needed, or those of a folded node
  [[nodiscard]] bool is_constant() const { return stored.has_value() || constant.present(); }
};

struct Port {
  std::string name;
  Type type;
  Dims dims;  // -1 for any size
  Slot slot;
};

struct Linear;
struct Weight;

// Memory of constants, which all runs read.
struct Program {
  std::unique_ptr<Pool> constants =
      std::make_unique<Pool>(SIZE_MAX, Pool::Blocks::kFreed);  // outlives the values
  std::vector<Value> values;
  std::vector<std::shared_ptr<Weight>> weights;        // packed; products point to them
  std::vector<std::shared_ptr<const Linear>> linears;  // products that nodes point to
  Steps steps;
  std::vector<Port> inputs;
  std::vector<Port> outputs;
};

// Throws kUnsupported, naming what the engine does not know, and kInvalid for graphs that contradict
// themselves: names twice or not at all, nodes before what they read.
Program compile(ModelDef model);

// The numbers of a constant: read once, float16 widened.
const Tensor& constant(Program& program, const Sources& sources, Slot slot);
// Refuses a tensor that passes the end of its file.
void require_stored(const TensorDef& tensor, const Sources& sources);
// Bytes of a stored tensor as they are in its file. REQUIRES: require_stored(); offset + out.size() <=
// tensor.bytes.
void read_stored(const TensorDef& tensor,
                 const Sources& sources,
                 uint64_t offset,
                 std::span<std::byte> out);

// Tells the sources what is still to be read once the plan is made.
void expect_reads(const Program& program, const Sources& sources);

// Computes nodes whose inputs are all constant and small.
void fold(Program& program, const Sources& sources);

// Reads every constant that a node still reads, and sets Node::ends.
void finish(Program& program, const Sources& sources);

// Calls work(node) for the nodes of a list and of all bodies in it.
template <typename S, typename F>
void for_each_node(S& steps, const F& work) {
  for (auto& node : steps.nodes) {
    for (auto& body : node.bodies) {
      for_each_node(body, work);
    }
    work(node);
  }
}

void run_steps(const Steps& steps, Run& run);

}  // namespace lorapress::engine

#endif  // LORAPRESS_ENGINE_PROGRAM_H_
