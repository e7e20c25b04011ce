// What the standard dialect composes of many nodes becomes one, before products are found:
//
//   q ── Mul(scale) ── MatMul(Transpose(k)) ── (Add(mask)) ── Softmax ── MatMul(v)                   Attention
//   x ── Split ─┬─ x1 cos - x2 sin ─┐
//               ├─ x2 cos + x1 sin ─┼─ Concat                                                        Rotary
//               └─ (rest) ──────────┘
//   x ─┬─ Pow(3) ── Mul(0.044715) ── Add(x) ── Mul(sqrt(2 / pi)) ── Tanh ── Add(1) ─┐
//      └─ Mul(0.5) ──────────────────────────────────────────────────────────────── Mul           FastGelu
//   x ─┬─ Div(sqrt 2) ── Erf ── Add(1) ─┐
//      └─ Mul(0.5) ──────────────────── Mul                                                          Gelu
//   x ─┬─ (Mul(1.702)) ── Sigmoid ─┐
//      └────────────────────────── Mul                                                               QuickGelu
#include "engine/fuse_list.h"
#include "engine/patterns.h"

namespace lorapress::engine {
namespace {

class Compositions : Patterns {
 public:
  Compositions(Program& program, const Sources& sources, Steps& steps, std::vector<int>& readers)
      : Patterns(program, sources, steps, readers) {}

  void run() {
    for_each([&](Node& node) {
      if (is(node, "MatMul")) {
        find_attention(node);
      } else if (is(node, "Concat")) {
        find_rotary(node);
      } else if (is(node, "Mul") && !find_gelu(node)) {
        find_swish(node);
      }
    });
  }

 private:
  [[nodiscard]] bool is_own(Slot slot) const { return readers_[static_cast<size_t>(slot)] == 1; }

  void find_attention(Node& node) {
    const Node* softmax = maker(node.inputs[0], "Softmax");
    if (softmax == nullptr || softmax->attributes[0].integer != -1 || !is_own(node.inputs[0])) {
      return;
    }
    Slot scores = softmax->inputs[0];
    Slot mask = kNoSlot;
    if (const Node* add = maker(scores, "Add"); add != nullptr && is_own(scores)) {
      const size_t first = maker(add->inputs[0], "MatMul") != nullptr ? 0 : 1;
      scores = add->inputs[first];
      mask = add->inputs[1 - first];
    }
    const Node* product = maker(scores, "MatMul");
    const Node* keys = product == nullptr ? nullptr : maker(product->inputs[1], "Transpose");
    if (keys == nullptr || !is_own(scores) ||
        keys->attributes[0].integers != std::vector<int64_t>{0, 1, 3, 2}) {
      return;
    }
    Slot q = product->inputs[0];
    float scale = 1.0F;
    if (const Node* scaled = maker(q, "Mul"); scaled != nullptr && is_own(q)) {
      q = scalar(scaled->inputs[1], scale) ? scaled->inputs[0] : q;
    }
    std::vector<Slot> inputs{q, keys->inputs[0], node.inputs[1]};
    if (mask != kNoSlot) {
      inputs.push_back(mask);
    }
    Node made = node_of(kAttentionRow, node, std::move(inputs));
    made.attributes[0].number = scale;
    exchange(node, std::move(made));
  }

  // The two operands of a Mul by a table.
  struct Turned {
    Slot x = kNoSlot;
    Slot table = kNoSlot;
  };
  [[nodiscard]] Turned turned(Slot slot) const {
    const Node* mul = maker(slot, "Mul");
    return mul == nullptr ? Turned{} : Turned{mul->inputs[0], mul->inputs[1]};
  }

  void find_rotary(Node& node) {
    const Node* left = maker(node.inputs[0], "Sub");
    const Node* right = node.inputs.size() < 2 ? nullptr : maker(node.inputs[1], "Add");
    if (left == nullptr || right == nullptr || node.inputs.size() > 3 ||
        node.attributes[0].integer != 3) {
      return;
    }
    const Turned a = turned(left->inputs[0]);
    const Turned b = turned(left->inputs[1]);
    const Turned c = turned(right->inputs[0]);
    const Turned d = turned(right->inputs[1]);
    const Node* split = maker(a.x, "Split");
    if (split == nullptr || b.x == kNoSlot || a.table != c.table || b.table != d.table ||
        a.x != d.x || b.x != c.x || split->outputs.size() != node.inputs.size() ||
        split->attributes[0].integer != 3 || split->outputs[0] != a.x || split->outputs[1] != b.x ||
        (node.inputs.size() == 3 && node.inputs[2] != split->outputs[2])) {
      return;
    }
    exchange(node, node_of(kRotaryRow, node, {split->inputs[0], a.table, b.table}));
  }

  // An activation of com.microsoft, of x alone.
  void activate(Node& node, const char* op, Slot x, float alpha) {
    Node made = node_of(*find_op(kMicrosoft, op), node, {x});
    if (!made.attributes.empty()) {
      made.attributes[0].number = alpha;
    }
    exchange(node, std::move(made));
  }

  bool find_gelu(Node& node) {
    const Node* half = maker(node.inputs[0], "Mul", 0.5F);
    const Node* gate = half == nullptr ? nullptr : maker(node.inputs[1], "Add", 1.0F);
    if (gate == nullptr) {
      return false;
    }
    const Slot x = half->inputs[0];
    if (const Node* erf = maker(gate->inputs[0], "Erf"); erf != nullptr) {
      const Node* scaled = maker(erf->inputs[0], "Div", 1.41421356F);
      if (scaled != nullptr && scaled->inputs[0] == x) {
        activate(node, "Gelu", x, 0.0F);
        return true;
      }
    }
    const Node* curve = maker(gate->inputs[0], "Tanh");
    const Node* scaled = curve == nullptr ? nullptr : maker(curve->inputs[0], "Mul", 0.797884583F);
    const Node* sum = scaled == nullptr ? nullptr : maker(scaled->inputs[0], "Add");
    const Node* small = sum == nullptr ? nullptr : maker(sum->inputs[1], "Mul", 0.044715F);
    const Node* cube = small == nullptr ? nullptr : maker(small->inputs[0], "Pow", 3.0F);
    if (cube == nullptr || sum->inputs[0] != x || cube->inputs[0] != x) {
      return false;
    }
    activate(node, "FastGelu", x, 0.0F);
    return true;
  }

  void find_swish(Node& node) {
    const Node* sigmoid = maker(node.inputs[1], "Sigmoid");
    if (sigmoid == nullptr) {
      return;
    }
    const Slot x = node.inputs[0];
    if (sigmoid->inputs[0] == x) {
      activate(node, "QuickGelu", x, 1.0F);
    } else if (const Node* scaled = maker(sigmoid->inputs[0], "Mul", 1.702F);
               scaled != nullptr && scaled->inputs[0] == x) {
      activate(node, "QuickGelu", x, 1.702F);
    }
  }
};

}  // namespace

void fuse_compositions(Program& program,
                       const Sources& sources,
                       Steps& steps,
                       std::vector<int>& readers) {
  Compositions(program, sources, steps, readers).run();
}

}  // namespace lorapress::engine
