#include <algorithm>
#include <cstring>

#include "engine/half.h"
#include "engine/ops.h"
#include "engine/program.h"

namespace lorapress::engine {
namespace {

constexpr size_t kMostFolded = size_t{64} << 20;  // bytes of a folded node's inputs and outputs
constexpr size_t kPiece = size_t{1} << 20;

void widen(const TensorDef& stored, const Sources& sources, float* to) {
  std::vector<uint16_t> halves(std::min<size_t>(kPiece, static_cast<size_t>(stored.bytes)));
  for (uint64_t at = 0; at < stored.bytes;) {
    const uint64_t count = std::min<uint64_t>(halves.size(), (stored.bytes - at) / 2);
    read_stored(stored, sources, at, std::as_writable_bytes(std::span(halves)).first(2 * count));
    for (uint64_t i = 0; i < count; ++i) {
      *to++ = from_half(halves[i]);
    }
    at += 2 * count;
  }
}

class Folder {
 public:
  Folder(Program& program, const Sources& sources) : program_(program), sources_(sources) {}

  void run() {
    run_.slots.resize(program_.values.size());
    run_.workers = &workers_;
    fold_list(program_.steps);
  }

 private:
  [[nodiscard]] Value& value(Slot slot) { return program_.values[static_cast<size_t>(slot)]; }

  bool is_small(const Node& node) {
    size_t bytes = 0;
    for (const Slot slot : node.inputs) {
      if (slot != kNoSlot) {
        if (!value(slot).is_constant()) {
          return false;
        }
        bytes += value(slot).constant.present() ? value(slot).constant.bytes()
                                                : static_cast<size_t>(value(slot).stored->bytes);
      }
    }
    return bytes <= kMostFolded && node.bodies.empty() && node.row->name != std::string("Expand");
  }

  void fold_list(Steps& steps) {
    std::erase_if(steps.nodes, [&](Node& node) {
      for (Steps& body : node.bodies) {
        fold_list(body);
      }
      if (!is_small(node)) {
        return false;
      }
      for (const Slot slot : node.inputs) {
        if (slot != kNoSlot) {
          run_.slots[static_cast<size_t>(slot)] = constant(program_, sources_, slot);
        }
      }
      Call call{node, run_};
      node.row->run(call);
      for (const Slot slot : node.outputs) {
        if (slot != kNoSlot) {
          keep(slot, run_.slots[static_cast<size_t>(slot)]);
          run_.slots[static_cast<size_t>(slot)] = Tensor();
        }
      }
      for (const Slot slot : node.inputs) {
        if (slot != kNoSlot) {
          run_.slots[static_cast<size_t>(slot)] = Tensor();
        }
      }
      return true;
    });
  }

  void keep(Slot slot, const Tensor& made) {
    Tensor kept(*program_.constants, made.type(), made.dims());
    std::memcpy(kept.data(), made.data(), made.bytes());
    value(slot).constant = std::move(kept);
  }

  Program& program_;
  const Sources& sources_;
  Workers workers_;
  Run run_{4 * kMostFolded};
};

// The last node of a list that reads each of the list's own values.
void set_ends(Program& program, Steps& steps, int level) {
  std::vector<int32_t> last(program.values.size(), -1);
  const auto own = [&](Slot slot) {
    const Value& value = program.values[static_cast<size_t>(slot)];
    return slot != kNoSlot && value.level == level && !value.is_constant();
  };
  for (size_t i = 0; i < steps.nodes.size(); ++i) {
    Node& node = steps.nodes[i];
    for (Steps& body : node.bodies) {
      set_ends(program, body, level + 1);
      for_each_node(body, [&](const Node& inner) {
        for (const Slot slot : inner.inputs) {
          if (slot != kNoSlot) {
            last[static_cast<size_t>(slot)] = static_cast<int32_t>(i);
          }
        }
      });
      for (const Slot slot : body.outputs) {
        last[static_cast<size_t>(slot)] = static_cast<int32_t>(i);
      }
    }
    for (const std::vector<Slot>* list : {&node.inputs, &node.outputs}) {
      for (const Slot slot : *list) {
        if (slot != kNoSlot) {
          last[static_cast<size_t>(slot)] = static_cast<int32_t>(i);
        }
      }
    }
  }
  for (const Slot slot : steps.outputs) {
    last[static_cast<size_t>(slot)] = -1;
  }
  for (size_t slot = 0; slot < last.size(); ++slot) {
    if (last[slot] >= 0 && own(static_cast<Slot>(slot))) {
      steps.nodes[static_cast<size_t>(last[slot])].ends.push_back(static_cast<Slot>(slot));
    }
  }
}

}  // namespace

void read_stored(const TensorDef& tensor,
                 const Sources& sources,
                 uint64_t offset,
                 std::span<std::byte> out) {
  if (!tensor.values.empty()) {
    std::memcpy(out.data(), tensor.values.data() + offset, out.size());
    return;
  }
  const std::shared_ptr<const Source> beside =
      tensor.file.empty() ? nullptr : sources.open(tensor.file);
  (beside == nullptr ? sources.graph() : *beside).read(tensor.offset + offset, out);
}

void require_stored(const TensorDef& tensor, const Sources& sources) {
  if (!tensor.values.empty()) {
    return;
  }
  const std::shared_ptr<const Source> beside =
      tensor.file.empty() ? nullptr : sources.open(tensor.file);
  const uint64_t size = beside == nullptr ? sources.graph().size() : beside->size();
  uint64_t end = 0;
  if (__builtin_add_overflow(tensor.offset, tensor.bytes, &end) || end > size) {
    refuse(Problem::kInvalid,
           "tensor " + tensor.name + " passes the end of its file; an incomplete download?");
  }
}

const Tensor& constant(Program& program, const Sources& sources, Slot slot) {
  Value& value = program.values[static_cast<size_t>(slot)];
  if (value.constant.present()) {
    return value.constant;
  }
  const TensorDef& stored = *value.stored;
  require_stored(stored, sources);
  Tensor made(*program.constants, value.type, stored.dims);
  if (stored.type == static_cast<int32_t>(OnnxType::kFloat16)) {
    widen(stored, sources, made.floats());
  } else {
    read_stored(stored, sources, 0, std::span(made.data(), made.bytes()));
  }
  if (value.type == Type::kBool) {
    for (int64_t i = 0; i < made.count(); ++i) {
      made.as<uint8_t>()[i] = made.as<uint8_t>()[i] != 0 ? 1 : 0;
    }
  }
  value.constant = std::move(made);
  return value.constant;
}

void fold(Program& program, const Sources& sources) {
  Folder(program, sources).run();
}

void finish(Program& program, const Sources& sources) {
  std::vector<bool> needed(program.values.size());
  const auto need = [&](Slot slot) {
    if (slot != kNoSlot && program.values[static_cast<size_t>(slot)].is_constant()) {
      constant(program, sources, slot);
      needed[static_cast<size_t>(slot)] = true;
    }
  };
  const auto need_all = [&](const std::vector<Slot>& slots) {
    for (const Slot slot : slots) {
      need(slot);
    }
  };
  for_each_node(program.steps, [&](Node& node) {
    need_all(node.inputs);
    for (const Steps& body : node.bodies) {
      need_all(body.outputs);
    }
  });
  need_all(program.steps.outputs);
  for (size_t i = 0; i < needed.size(); ++i) {
    if (!needed[i]) {
      program.values[i].constant = Tensor();
    }
  }
  set_ends(program, program.steps, 0);
}

void run_steps(const Steps& steps, Run& run) {
  for (const Node& node : steps.nodes) {
    Call call{node, run};
    node.row->run(call);
    for (const Slot slot : node.ends) {
      run.slots[static_cast<size_t>(slot)] = Tensor();
    }
  }
}

namespace ops {

void if_else(Call& call) {
  call.require(call.in(0).count() == 1, "a condition that is no scalar");
  const Steps& body = call.node.bodies[*call.in(0).as<bool>() ? 0 : 1];
  run_steps(body, call.run);
  for (size_t i = 0; i < body.outputs.size(); ++i) {
    call.set(static_cast<int>(i), call.run.slots[static_cast<size_t>(body.outputs[i])]);
  }
}

// Inputs: the most iterations, whether there is a first, what is carried. What a body makes stands in its slots
// until the next iteration: values that it carries have two places.
void loop(Call& call) {
  constexpr int64_t kMostIterations = 1 << 20;
  call.require(call.in(0).count() == 1 && call.in(1).count() == 1, "a condition that is no scalar");
  const Steps& body = call.node.bodies[0];
  std::vector<Tensor>& slots = call.run.slots;
  const auto at = [&](Slot slot) -> Tensor& { return slots[static_cast<size_t>(slot)]; };
  const int64_t most = *call.in(0).integers();
  bool goes_on = *call.in(1).as<bool>();
  const size_t carried = body.inputs.size() - 2;
  std::vector<Tensor> values(carried);
  for (size_t i = 0; i < carried; ++i) {
    values[i] = call.in(static_cast<int>(i) + 2);
  }
  for (int64_t iteration = 0; goes_on && iteration < most; ++iteration) {
    call.require(iteration < kMostIterations, "more than 1048576 iterations");
    const Tensor number(call.run.pool, Type::kI64, Dims{});
    *number.integers() = iteration;
    const Tensor condition(call.run.pool, Type::kBool, Dims{});
    *condition.as<bool>() = true;
    at(body.inputs[0]) = number;
    at(body.inputs[1]) = condition;
    for (size_t i = 0; i < carried; ++i) {
      at(body.inputs[i + 2]) = std::move(values[i]);
    }
    run_steps(body, call.run);
    const Tensor& next = at(body.outputs[0]);
    call.require(next.count() == 1, "a condition that is no scalar");
    goes_on = *next.as<bool>();
    for (size_t i = 0; i < carried; ++i) {
      values[i] = at(body.outputs[i + 1]);
    }
  }
  for (size_t i = 0; i < carried; ++i) {
    call.set(static_cast<int>(i), std::move(values[i]));
  }
}

}  // namespace ops
}  // namespace lorapress::engine
