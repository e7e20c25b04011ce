#include <algorithm>
#include <cstring>

#include "engine/fuse_list.h"

namespace lorapress::engine {
namespace {

// Casts that change nothing, as between float16 and float32: their readers read what they read.
void drop_casts(Program& program, Steps& steps, std::vector<Slot>& stands_for) {
  const auto follow = [&](std::vector<Slot>& slots) {
    for (Slot& slot : slots) {
      slot = slot == kNoSlot ? kNoSlot : stands_for[static_cast<size_t>(slot)];
    }
  };
  std::erase_if(steps.nodes, [&](Node& node) {
    follow(node.inputs);
    for (Steps& body : node.bodies) {
      drop_casts(program, body, stands_for);
    }
    if (std::strcmp(node.row->name, "Cast") != 0 || node.outputs[0] == kNoSlot) {
      return false;
    }
    const Value& from = program.values[static_cast<size_t>(node.inputs[0])];
    const Value& to = program.values[static_cast<size_t>(node.outputs[0])];
    if (from.type != to.type) {
      return false;
    }
    stands_for[static_cast<size_t>(node.outputs[0])] = node.inputs[0];
    return true;
  });
  follow(steps.outputs);
}

void count_outputs(const Steps& steps, std::vector<int>& readers) {
  for (const Slot slot : steps.outputs) {
    ++readers[static_cast<size_t>(slot)];
  }
  for (const Node& node : steps.nodes) {
    for (const Steps& body : node.bodies) {
      count_outputs(body, readers);
    }
  }
}

void count_inputs(const Node& node, int step, std::vector<int>& readers) {
  for (const Slot slot : node.inputs) {
    if (slot != kNoSlot) {
      readers[static_cast<size_t>(slot)] += step;
    }
  }
}

}  // namespace

void drop_unread(Steps& steps, std::vector<int>& readers) {
  std::vector<Node> kept;
  for (size_t i = steps.nodes.size(); i-- > 0;) {
    Node& last = steps.nodes[i];
    const bool read = std::any_of(last.outputs.begin(), last.outputs.end(), [&](Slot slot) {
      return slot != kNoSlot && readers[static_cast<size_t>(slot)] > 0;
    });
    if (read) {
      kept.push_back(std::move(last));
    } else {
      count_inputs(last, -1, readers);
      for (Steps& body : last.bodies) {
        for_each_node(body, [&](const Node& inner) { count_inputs(inner, -1, readers); });
      }
    }
  }
  std::reverse(kept.begin(), kept.end());
  steps.nodes = std::move(kept);
}

void fuse(Program& program, const Sources& sources, Workers& workers) {
  std::vector<Slot> stands_for(program.values.size());
  for (size_t i = 0; i < stands_for.size(); ++i) {
    stands_for[i] = static_cast<Slot>(i);
  }
  drop_casts(program, program.steps, stands_for);
  for (Port& port : program.outputs) {
    port.slot = stands_for[static_cast<size_t>(port.slot)];
  }
  std::vector<int> readers(program.values.size());
  for_each_node(program.steps, [&](const Node& node) { count_inputs(node, 1, readers); });
  count_outputs(program.steps, readers);
  fuse_list(program, sources, program.steps, readers);
  expect_reads(program, sources);
  pack_weights(program, sources, workers);
}

}  // namespace lorapress::engine
