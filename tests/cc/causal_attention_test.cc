// Causal attention of every kind of layer, in both dialects, against loops over positions in double.
#include <array>
#include <cmath>
#include <gtest/gtest.h>

#include "blocks/attention.h"
#include "graph/check.h"
#include "graph/model.h"
#include "onnx_util.h"

namespace lorapress {
namespace {

using test::Random;
using test::TempFolder;
using Doubles = std::vector<double>;

// Lengths of one call. GroupQueryAttention takes several new positions behind a cache for one
// sequence only.
struct Call {
  int64_t batch = 0;
  int64_t past = 0;
  int64_t now = 0;
};
constexpr std::array kCalls = {Call{2, 0, 7}, Call{2, 6, 1}, Call{1, 4, 3}};

constexpr int64_t kHidden = 10;
constexpr int64_t kHeads = 4;
constexpr int64_t kKvHeads = 2;
constexpr int64_t kPositions = 32;
constexpr double kEps = 1e-5;

// Both kinds of layers that the fused dialect has as one node, and windows of which some reach
// into the cache and one holds all positions.
const std::vector<CausalLayer> kAllKinds{
    {true, 0}, {false, 0}, {true, 2}, {false, 2}, {true, 1}, {true, 5}, {true, 100}};

struct Projection {
  std::vector<float> weight;  // [out, kHidden]
  int64_t out;
  Projection(uint32_t seed, int64_t rows)
      : weight(Random(seed).numbers(static_cast<size_t>(rows * kHidden))), out(rows) {}
  [[nodiscard]] LinearWeights linear(const std::string& name) const {
    return {name, float_constant({out, kHidden}, weight), nullptr};
  }
  // x [kHidden] -> output `row`
  [[nodiscard]] double apply(const float* x, int64_t row) const {
    double sum = 0.0;
    for (int64_t i = 0; i < kHidden; ++i) {
      sum += static_cast<double>(weight[static_cast<size_t>(row * kHidden + i)]) * x[i];
    }
    return sum;
  }
};

struct Case {
  Case(int64_t width, const Call& lengths)
      : head_dim(width),
        call(lengths),
        q(1, kHeads * width),
        k(2, kKvHeads * width),
        v(3, kKvHeads * width),
        x(Random(4).numbers(static_cast<size_t>(call.batch * call.now * kHidden))),
        past_key(Random(5).numbers(static_cast<size_t>(call.batch * kKvHeads * call.past * width))),
        past_value(Random(6).numbers(past_key.size())) {
    for (int64_t i = 0; i < width / 2; ++i) {
      frequencies.push_back(1.0F / static_cast<float>(1 + i));
    }
  }
  int64_t head_dim;
  Call call;
  Projection q, k, v;
  std::vector<float> x, past_key, past_value, frequencies;
  float scaling = 1.0F;               // of cosines and sines
  std::vector<float> q_norm, k_norm;  // none where they are empty
  bool packed = false;                // one weight for q, k and v

  // The first half of the rotated part of a head against the second, at `position`.
  void rotate(Doubles& head, int64_t position) const {
    const size_t half = frequencies.size();
    for (size_t i = 0; i < half; ++i) {
      const double angle = static_cast<double>(position) * frequencies[i];
      const double cos = std::cos(angle) * scaling;
      const double sin = std::sin(angle) * scaling;
      const double left = head[i];
      const double right = head[i + half];
      head[i] = left * cos - right * sin;
      head[i + half] = right * cos + left * sin;
    }
  }
  static void normalise(Doubles& head, const std::vector<float>& weight) {
    double squares = 0.0;
    for (const double value : head) {
      squares += value * value;
    }
    for (size_t i = 0; i < weight.size(); ++i) {
      head[i] *= weight[i] / std::sqrt(squares / static_cast<double>(head.size()) + kEps);
    }
  }
  [[nodiscard]] Doubles project(
      const Projection& from, int64_t row, int64_t now, int64_t head, bool rotated) const {
    const float* input = x.data() + (row * call.now + now) * kHidden;
    Doubles values;
    for (int64_t i = 0; i < head_dim; ++i) {
      values.push_back(from.apply(input, head * head_dim + i));
    }
    if (&from != &v) {
      normalise(values, &from == &q ? q_norm : k_norm);
    }
    if (rotated) {
      rotate(values, call.past + now);
    }
    return values;
  }
  // A key or value of any position.
  [[nodiscard]] Doubles cached(const std::vector<float>& past,
                               const Projection& from,
                               int64_t row,
                               int64_t head,
                               int64_t position,
                               bool rotated) const {
    if (position >= call.past) {
      return project(from, row, position - call.past, head, rotated);
    }
    const float* begin = past.data() + ((row * kKvHeads + head) * call.past + position) * head_dim;
    return {begin, begin + head_dim};
  }

  [[nodiscard]] std::vector<float> expected(const CausalLayer& layer) const {
    std::vector<float> output;
    for (int64_t at = 0; at < call.batch * call.now * kHeads; ++at) {
      const int64_t row = at / (call.now * kHeads);
      const int64_t now = at / kHeads % call.now;
      const int64_t head = at % kHeads;
      const int64_t kv_head = head / (kHeads / kKvHeads);
      const Doubles query = project(q, row, now, head, layer.rotated);
      Doubles sum(static_cast<size_t>(head_dim));
      double total = 0.0;
      const int64_t last = call.past + now;
      const int64_t first = layer.window == 0 ? 0 : std::max<int64_t>(0, last - layer.window + 1);
      for (int64_t position = first; position <= last; ++position) {
        const Doubles key = cached(past_key, k, row, kv_head, position, layer.rotated);
        const Doubles value = cached(past_value, v, row, kv_head, position, false);
        double score = 0.0;
        for (size_t i = 0; i < key.size(); ++i) {
          score += query[i] * key[i];
        }
        const double weight = std::exp(score / std::sqrt(static_cast<double>(head_dim)));
        total += weight;
        for (size_t i = 0; i < value.size(); ++i) {
          sum[i] += weight * value[i];
        }
      }
      for (const double value : sum) {
        output.push_back(static_cast<float>(value / total));
      }
    }
    return output;
  }

  // One graph that has a layer of each kind over the same input and cache.
  [[nodiscard]] std::vector<OrtTensor> run(OpDialect ops,
                                           std::span<const CausalLayer> layers,
                                           bool rotary) const {
    Graph graph("causal", 17);
    const Builder b{graph, ops};
    const Value input = graph.input("x", DType::kF32, {"batch", "sequence", kHidden});
    const auto cache = [&](const char* name) {
      return graph.input(name, DType::kF32, {"batch", kKvHeads, "past", head_dim});
    };
    const KeyValue past{cache("past_key"), cache("past_value")};
    const CausalContext context =
        causal_context(b,
                       "/decoder",
                       input,
                       past.key,
                       {kHeads, kKvHeads, head_dim},
                       rotary ? rope(b, "rotary", frequencies, kPositions, scaling) : Rope{},
                       layers);
    std::vector<std::string> names;
    for (size_t i = 0; i < layers.size(); ++i) {
      const std::string name = "layer_" + std::to_string(i);
      AttentionWeights weights{
          name, q.linear(name + ".q"), k.linear(name + ".k"), v.linear(name + ".v"), {}};
      if (packed) {
        const LinearWeights all{name + ".qkv",
                                concat_rows({weights.q.weight, weights.k.weight, weights.v.weight}),
                                nullptr};
        weights = {name, {}, {}, {}, {}, all};
      }
      const auto norm = [&](const char* part, const std::vector<float>& weight) {
        return weight.empty()
                   ? NormWeights{}
                   : NormWeights{name + part, float_constant({head_dim}, weight), nullptr, kEps};
      };
      weights.q_norm = norm(".q_norm", q_norm);
      weights.k_norm = norm(".k_norm", k_norm);
      const CausalOutput output =
          causal_attention(b, "/" + name, input, weights, past, context, layers[i]);
      names.push_back(name);
      graph.output(output.attended, name, {"batch", "sequence", kHeads * head_dim});
    }
    const Model model = to_model(graph);
    check_model(model);
    const TempFolder folder;
    test::write_model(model, folder / "causal.onnx");
    const OrtSession session(folder / "causal.onnx", 1);
    const OrtTensor tensor = OrtTensor::floats({call.batch, call.now, kHidden}, x);
    const OrtTensor key = OrtTensor::floats({call.batch, kKvHeads, call.past, head_dim}, past_key);
    const OrtTensor value =
        OrtTensor::floats({call.batch, kKvHeads, call.past, head_dim}, past_value);
    return session.run({{"x", &tensor}, {"past_key", &key}, {"past_value", &value}}, names);
  }
};

void expect_layers(const Case& attention, std::span<const CausalLayer> layers, bool rotary) {
  for (const OpDialect ops : {OpDialect::kOrt, OpDialect::kStandard}) {
    const std::vector<OrtTensor> outputs = attention.run(ops, layers, rotary);
    for (size_t i = 0; i < layers.size(); ++i) {
      const std::vector<float> expected = attention.expected(layers[i]);
      const auto found = outputs[i].as_floats();
      ASSERT_EQ(found.size(), expected.size());
      for (size_t at = 0; at < found.size(); ++at) {
        ASSERT_NEAR(found[at], expected[at], 1e-4) << "layer " << i << ", number " << at;
      }
    }
  }
}

// A head of 16 takes GroupQueryAttention where a layer is full, a head of 6 nowhere.
TEST(CausalAttention, RotatesAndSeesWhatEachLayerSays) {
  for (const int64_t head_dim : {16, 6}) {
    for (const Call& call : kCalls) {
      expect_layers(Case(head_dim, call), kAllKinds, true);
      expect_layers(Case(head_dim, call), std::vector<CausalLayer>{{true, 3}}, true);
    }
  }
}

TEST(CausalAttention, NeedsNoRopeWhereNoLayerIsRotated) {
  for (const int64_t head_dim : {16, 6}) {
    for (const Call& call : kCalls) {
      expect_layers(Case(head_dim, call), std::vector<CausalLayer>{{false, 0}, {false, 3}}, false);
    }
  }
}

TEST(CausalAttention, NormalisesHeadsBeforeTheyAreRotated) {
  for (const int64_t head_dim : {16, 6}) {
    for (const Call& call : kCalls) {
      Case attention(head_dim, call);
      attention.q_norm = Random(7).numbers(static_cast<size_t>(head_dim));
      attention.k_norm = Random(8).numbers(static_cast<size_t>(head_dim));
      expect_layers(attention, kAllKinds, true);
    }
  }
}

TEST(CausalAttention, RotatesTheFirstPartOfAHeadAndScalesIt) {
  for (const int64_t head_dim : {16, 6}) {
    for (const Call& call : kCalls) {
      Case attention(head_dim, call);
      attention.scaling = 1.25F;
      expect_layers(attention, kAllKinds, true);
      attention.frequencies.resize(2);
      attention.packed = true;
      expect_layers(attention, kAllKinds, true);
    }
  }
}

}  // namespace
}  // namespace lorapress
