// Operators: what a node is to the engine, and what its function sees of a run.
#ifndef LORAPRESS_ENGINE_OP_H_
#define LORAPRESS_ENGINE_OP_H_

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/kernels/kernels.h"
#include "engine/tensor.h"
#include "engine/workers.h"

namespace lorapress::engine {

inline constexpr const char* kMicrosoft = "com.microsoft";

struct Call;
struct Node;

enum class AttributeKind : uint8_t { kInteger, kNumber, kIntegers, kText, kGraph };
struct AttributeRow {
  const char* name;
  AttributeKind kind;
  int64_t integer = 0;  // where the node does not give it
  float number = 0.0F;
};

// The types an input may have, as bits.
using Types = uint32_t;
constexpr Types one_of(Type type) {
  return 1U << static_cast<unsigned>(type);
}
inline constexpr Types kFloats = one_of(Type::kF32);
inline constexpr Types kInt64s = one_of(Type::kI64);
inline constexpr Types kInt32s = one_of(Type::kI32);
inline constexpr Types kBools = one_of(Type::kBool);
inline constexpr Types kBytes = one_of(Type::kU8) | one_of(Type::kI8);
inline constexpr Types kNumbers = kFloats | kInt64s | kInt32s;
inline constexpr Types kAllTypes = (1U << kTypes) - 1;

// The types of a node's outputs.
enum class OutputTypes : uint8_t {
  kFirst,   // that of input 0
  kSecond,  // that of input 1
  kBool,
  kInt64,
  kInt32,
  kCast,       // attribute "to"
  kQuantized,  // uint8, float32, uint8
  kTopK,       // that of input 0, int64
  kBranches,   // those of the bodies
  kCarried,    // those of the body behind its first
};

struct OpRow {
  const char* domain;
  const char* name;
  int least_inputs;
  int most_inputs;
  int most_outputs;
  std::vector<Types> inputs;  // the last one also of all further inputs
  OutputTypes outputs;
  std::vector<AttributeRow> attributes;
  void (*run)(Call& call);
};

// All operators of the ONNX files that LoraPress writes, and those that the plan puts in their place
// (domain "engine").
std::span<const OpRow> op_table();
const OpRow* find_op(const std::string& domain, const std::string& name);

struct AttributeValue {
  bool given = false;
  int64_t integer = 0;
  float number = 0.0F;
  std::vector<int64_t> integers;
};

using Slot = int32_t;  // of a value in a run; -1: left out
inline constexpr Slot kNoSlot = -1;

// A list of nodes in the order of their runs: the graph, or a body of If or Loop.
struct Steps {
  std::vector<Node> nodes;
  std::vector<Slot> inputs;  // of a body of Loop
  std::vector<Slot> outputs;
};

struct Linear;

struct Node {
  const OpRow* row = nullptr;
  std::string name;
  std::vector<Slot> inputs;
  std::vector<Slot> outputs;
  std::vector<AttributeValue> attributes;  // as in row->attributes
  std::vector<Steps> bodies;               // of If: then, else; of Loop
  std::vector<Slot> ends;                  // what no later node reads
  const Linear* linear = nullptr;          // of operators of the plan: the packed weight
};

// One call's values and memory.
struct Run {
  Run() = default;
  explicit Run(size_t limit) : pool(limit) {}
  Pool pool;
  std::vector<Tensor> slots;
  Workers* workers = nullptr;
  const kernels::KernelSet* kernels = &kernels::best_kernel_set();
};

struct Call {
  const Node& node;
  Run& run;

  [[nodiscard]] int inputs() const { return static_cast<int>(node.inputs.size()); }
  [[nodiscard]] bool has(int index) const {
    return index < inputs() && node.inputs[static_cast<size_t>(index)] != kNoSlot;
  }
  // REQUIRES: has(index).
  [[nodiscard]] const Tensor& in(int index) const {
    return run.slots[static_cast<size_t>(node.inputs[static_cast<size_t>(index)])];
  }
  [[nodiscard]] bool wants(int index) const {
    return static_cast<size_t>(index) < node.outputs.size() &&
           node.outputs[static_cast<size_t>(index)] != kNoSlot;
  }
  // A new tensor as output `index`, whose content is not set.
  Tensor out(int index, Type type, const Dims& dims) const {
    Tensor tensor(run.pool, type, dims);
    set(index, tensor);
    return tensor;
  }
  void set(int index, Tensor tensor) const {
    if (wants(index)) {
      run.slots[static_cast<size_t>(node.outputs[static_cast<size_t>(index)])] = std::move(tensor);
    }
  }
  [[nodiscard]] const AttributeValue& attribute(int index) const {
    return node.attributes[static_cast<size_t>(index)];
  }
  [[nodiscard]] int64_t integer(int index) const { return attribute(index).integer; }
  [[nodiscard]] float number(int index) const { return attribute(index).number; }
  [[nodiscard]] Workers& workers() const { return *run.workers; }

  // Refuses the run for inputs that do not fit: "node NAME (OP): WHAT".
  [[noreturn]] void bad(const std::string& what) const;
  void require(bool holds, const char* what) const {
    if (!holds) {
      bad(what);
    }
  }
  // An axis of a tensor, counted from its end where it is negative.
  [[nodiscard]] int axis(int64_t axis, int rank) const;
  // Input `index` as a list of integers (int64 or int32).
  [[nodiscard]] std::vector<int64_t> list(int index) const;
};

}  // namespace lorapress::engine

#endif  // LORAPRESS_ENGINE_OP_H_
