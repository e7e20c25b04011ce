// Causal attention of every kind of layer, in both dialects, against loops over positions in double.
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

constexpr int64_t kBatch = 2;
constexpr int64_t kPast = 4;
constexpr int64_t kNow = 3;
constexpr int64_t kHidden = 10;
constexpr int64_t kHeads = 4;
constexpr int64_t kKvHeads = 2;
constexpr int64_t kPositions = 32;

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
  explicit Case(int64_t width)
      : head_dim(width),
        q(1, kHeads * width),
        k(2, kKvHeads * width),
        v(3, kKvHeads * width),
        x(Random(4).numbers(static_cast<size_t>(kBatch * kNow * kHidden))),
        past_key(Random(5).numbers(static_cast<size_t>(kBatch * kKvHeads * kPast * width))),
        past_value(Random(6).numbers(past_key.size())) {
    for (int64_t i = 0; i < width / 2; ++i) {
      frequencies.push_back(1.0F / static_cast<float>(1 + i));
    }
  }
  int64_t head_dim;
  Projection q, k, v;
  std::vector<float> x, past_key, past_value, frequencies;

  // The first half of a head against the second, at `position`.
  void rotate(Doubles& head, int64_t position) const {
    const auto half = static_cast<size_t>(head_dim / 2);
    for (size_t i = 0; i < half; ++i) {
      const double angle = static_cast<double>(position) * frequencies[i];
      const double left = head[i];
      const double right = head[i + half];
      head[i] = left * std::cos(angle) - right * std::sin(angle);
      head[i + half] = right * std::cos(angle) + left * std::sin(angle);
    }
  }
  [[nodiscard]] Doubles project(
      const Projection& from, int64_t row, int64_t now, int64_t head, bool rotated) const {
    const float* input = x.data() + (row * kNow + now) * kHidden;
    Doubles values;
    for (int64_t i = 0; i < head_dim; ++i) {
      values.push_back(from.apply(input, head * head_dim + i));
    }
    if (rotated) {
      rotate(values, kPast + now);
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
    if (position >= kPast) {
      return project(from, row, position - kPast, head, rotated);
    }
    const float* begin = past.data() + ((row * kKvHeads + head) * kPast + position) * head_dim;
    return {begin, begin + head_dim};
  }

  [[nodiscard]] std::vector<float> expected(const CausalLayer& layer) const {
    std::vector<float> output;
    for (int64_t at = 0; at < kBatch * kNow * kHeads; ++at) {
      const int64_t row = at / (kNow * kHeads);
      const int64_t now = at / kHeads % kNow;
      const int64_t head = at % kHeads;
      const int64_t kv_head = head / (kHeads / kKvHeads);
      const Doubles query = project(q, row, now, head, layer.rotated);
      Doubles sum(static_cast<size_t>(head_dim));
      double total = 0.0;
      const int64_t last = kPast + now;
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
                       rotary ? rope(b, "rotary", frequencies, kPositions) : Rope{},
                       layers);
    std::vector<std::string> names;
    for (size_t i = 0; i < layers.size(); ++i) {
      const std::string name = "layer_" + std::to_string(i);
      const AttentionWeights weights{
          name, q.linear(name + ".q"), k.linear(name + ".k"), v.linear(name + ".v"), {}};
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
    const OrtTensor tensor = OrtTensor::floats({kBatch, kNow, kHidden}, x);
    const OrtTensor key = OrtTensor::floats({kBatch, kKvHeads, kPast, head_dim}, past_key);
    const OrtTensor value = OrtTensor::floats({kBatch, kKvHeads, kPast, head_dim}, past_value);
    return session.run({{"x", &tensor}, {"past_key", &key}, {"past_value", &value}}, names);
  }
};

void expect_layers(int64_t head_dim, std::span<const CausalLayer> layers, bool rotary) {
  const Case cased(head_dim);
  for (const OpDialect ops : {OpDialect::kOrt, OpDialect::kStandard}) {
    const std::vector<OrtTensor> outputs = cased.run(ops, layers, rotary);
    for (size_t i = 0; i < layers.size(); ++i) {
      const std::vector<float> expected = cased.expected(layers[i]);
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
    const std::vector<CausalLayer> mixed{
        {true, 0}, {false, 0}, {true, 2}, {false, 2}, {true, 1}, {true, 5}, {true, 100}};
    expect_layers(head_dim, mixed, true);
    expect_layers(head_dim, std::vector<CausalLayer>{{true, 3}}, true);
  }
}

TEST(CausalAttention, NeedsNoRopeWhereNoLayerIsRotated) {
  for (const int64_t head_dim : {16, 6}) {
    expect_layers(head_dim, std::vector<CausalLayer>{{false, 0}, {false, 3}}, false);
  }
}

}  // namespace
}  // namespace lorapress
