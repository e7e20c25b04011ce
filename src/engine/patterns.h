// What passes over a list of nodes look for: constants, and the nodes that make a value.
#ifndef LORAPRESS_ENGINE_PATTERNS_H_
#define LORAPRESS_ENGINE_PATTERNS_H_

#include <cstring>

#include "engine/linear.h"

namespace lorapress::engine {

class Patterns {
 protected:
  // `readers` of each value: nodes of all lists that read it, and outputs that it is.
  Patterns(Program& program, const Sources& sources, Steps& steps, std::vector<int>& readers)
      : program_(program), sources_(sources), nodes_(steps.nodes), readers_(readers) {}

  // work(node): for each in turn; maker() knows those before it.
  template <typename F>
  void for_each(const F& work) {
    makers_.assign(program_.values.size(), -1);
    for (size_t i = 0; i < nodes_.size(); ++i) {
      work(nodes_[i]);
      for (const Slot slot : nodes_[i].outputs) {
        if (slot != kNoSlot) {
          makers_[static_cast<size_t>(slot)] = static_cast<int32_t>(i);
        }
      }
    }
  }

  [[nodiscard]] const Value& value(Slot slot) const {
    return program_.values[static_cast<size_t>(slot)];
  }
  [[nodiscard]] static bool is(const Node& node, const char* op) {
    return std::strcmp(node.row->name, op) == 0;
  }
  [[nodiscard]] bool is_constant(Slot slot) const {
    return slot != kNoSlot && value(slot).is_constant();
  }
  [[nodiscard]] Node* maker(Slot slot, const char* op) const {
    const int32_t at = slot == kNoSlot ? -1 : makers_[static_cast<size_t>(slot)];
    return at >= 0 && is(nodes_[static_cast<size_t>(at)], op) ? &nodes_[static_cast<size_t>(at)]
                                                              : nullptr;
  }
  // The one float of a constant.
  [[nodiscard]] bool scalar(Slot slot, float& found) {
    if (!is_constant(slot) || value(slot).type != Type::kF32 ||
        constant(program_, sources_, slot).count() != 1) {
      return false;
    }
    found = *constant(program_, sources_, slot).floats();
    return true;
  }
  [[nodiscard]] bool is_number(Slot slot, float number) {
    float found = 0.0F;
    return scalar(slot, found) && found == number;
  }
  // Operator `op` of a value and this number.
  [[nodiscard]] Node* maker(Slot slot, const char* op, float number) {
    Node* made = maker(slot, op);
    return made != nullptr && is_number(made->inputs[1], number) ? made : nullptr;
  }

  // `node` becomes another of these inputs, for its first output.
  static Node node_of(const OpRow& row, const Node& node, std::vector<Slot> inputs) {
    Node made;
    made.row = &row;
    made.name = node.name;
    made.inputs = std::move(inputs);
    made.outputs = {node.outputs[0]};
    for (const AttributeRow& attribute : row.attributes) {
      AttributeValue value;
      value.integer = attribute.integer;
      value.number = attribute.number;
      made.attributes.push_back(std::move(value));
    }
    return made;
  }
  void exchange(Node& node, Node made) {
    count(node, -1);
    count(made, 1);
    node = std::move(made);
  }

  Program& program_;
  const Sources& sources_;
  std::vector<Node>& nodes_;
  std::vector<int>& readers_;
  std::vector<int32_t> makers_;  // of each value: its node in this list

 private:
  void count(const Node& node, int step) {
    for (const Slot slot : node.inputs) {
      if (slot != kNoSlot) {
        readers_[static_cast<size_t>(slot)] += step;
      }
    }
  }
};

}  // namespace lorapress::engine

#endif  // LORAPRESS_ENGINE_PATTERNS_H_
