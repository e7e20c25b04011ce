// Merged weights against PEFT's merge_and_unload() and its merge in float64.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "checkpoint/checkpoint.h"
#include "golden_util.h"
#include "weights/lora.h"

namespace lorapress {
namespace {

using test::Golden;
using test::half_ulp;
using test::largest;
using test::largest_difference;
using test::read_doubles;
using test::read_stored;
using Doubles = std::vector<double>;

// Both are float32 sums of the same few terms in another order: a few units in the last place of
// the largest value.
constexpr double kFewUlps = 2.0 / (1 << 23);

// What a file of a 16-bit dtype holds: one rounding of the true value, and so nowhere worse than
// PEFT, which rounds the delta or the base on the way.
void expect_one_rounding(DType dtype,
                         const Doubles& stored,
                         const Doubles& truth,
                         const Doubles& peft) {
  ASSERT_EQ(stored.size(), truth.size());
  const double slack = kFewUlps * largest(truth);  // of the sums themselves
  for (size_t i = 0; i < stored.size(); ++i) {
    ASSERT_LE(std::fabs(stored[i] - truth[i]), half_ulp(dtype, truth[i]) + slack) << i;
  }
  EXPECT_LE(largest_difference(stored, truth), largest_difference(peft, truth) + slack);
}

class GoldenMerge : public ::testing::TestWithParam<std::string> {
 protected:
  // The most exact values there are for a tensor of a case.
  static Doubles truth(const TensorMap& merged,
                       const std::string& golden_case,
                       const std::string& name) {
    const auto found = merged.find(golden_case + "/float64/" + name);
    return read_doubles(
        *(found != merged.end() ? found->second : merged.at(golden_case + "/float32/" + name)));
  }
};

TEST_P(GoldenMerge, EqualsPeft) {
  const Golden golden(GetParam());
  const TensorMap merged = golden.merged();
  size_t adapted = 0;
  double ulps = 0.0;
  for (const Json& row : golden.cases()) {
    const std::string name = row.at("name");
    const Checkpoint checkpoint = open_checkpoint(golden.source(row));
    for (const Json& tensor : row.value("merged", Json::array())) {
      const std::string canonical = tensor;
      const ModelTensor& found = checkpoint.tensors.at(canonical);
      adapted += found.adapted ? 1 : 0;
      const Doubles got = read_doubles(*found.weight);
      const Doubles peft = read_doubles(*merged.at(name + "/float32/" + canonical));
      const Doubles exact = truth(merged, name, canonical);
      const double error = std::max(largest_difference(got, peft), largest_difference(got, exact));
      EXPECT_LE(error, kFewUlps * largest(exact)) << name << " " << canonical;
      ulps = std::max(ulps, error / largest(exact) * (1 << 23));
    }
  }
  RecordProperty("largest_error_in_ulps", fmt::format("{:.2f}", ulps));
  EXPECT_GT(adapted, 0U);
}

TEST_P(GoldenMerge, LosesNoMoreThanPeftInLowPrecision) {
  const Golden golden(GetParam());
  const TensorMap merged = golden.merged();
  for (const Json& row : golden.cases()) {
    const std::string name = row.at("name");
    const Checkpoint checkpoint = open_checkpoint(golden.source(row));
    for (const auto& [key, peft] : merged) {
      const size_t label = key.find('/') + 1;
      const std::string canonical = key.substr(key.find('/', label) + 1);
      const bool low = peft->dtype() == DType::kF16 || peft->dtype() == DType::kBF16;
      if (low && key.starts_with(name + "/")) {
        const WeightPtr& weight = checkpoint.tensors.at(canonical).weight;
        SCOPED_TRACE(key);
        // A tensor that the adapter replaced keeps the adapter's dtype and is exact.
        EXPECT_TRUE(weight->dtype() == peft->dtype() || weight->dtype() == DType::kF32);
        expect_one_rounding(weight->dtype(),
                            read_stored(*weight),
                            truth(merged, name, canonical),
                            read_doubles(*peft));
      }
    }
  }
}

TEST_P(GoldenMerge, ChangesNothingElse) {
  const Golden golden(GetParam());
  const Json& row = golden.cases().at(0);
  const Checkpoint checkpoint = open_checkpoint(golden.source(row));
  size_t adapted = 0;
  for (const auto& [name, tensor] : checkpoint.tensors) {
    adapted += tensor.adapted ? 1 : 0;
    if (!tensor.adapted) {
      EXPECT_TRUE(tensor.weight->extent()) << name;  // bytes of the file, as they are
    }
  }
  EXPECT_EQ(adapted != 0, !checkpoint.adapters.empty());
  EXPECT_LT(adapted, checkpoint.tensors.size());
}

std::string param_name(const ::testing::TestParamInfo<std::string>& row) {
  return row.param;
}

INSTANTIATE_TEST_SUITE_P(All, GoldenMerge, ::testing::ValuesIn(test::golden_names()), param_name);

// Single layers: every kind of layer and adapter that PEFT knows and LoraPress takes.
class LayerMerge {
 public:
  explicit LayerMerge(const Json& row)
      : row_(row),
        tensors_(open_safetensors(
            test::source_path("tests/goldens/merge/" + row.at("file").get<std::string>()))) {}

  [[nodiscard]] const WeightPtr& tensor(const std::string& name) const { return tensors_.at(name); }
  [[nodiscard]] bool has(const std::string& name) const { return tensors_.contains(name); }

  [[nodiscard]] WeightPtr weight() const {
    WeightPtr merged = tensor("W");
    for (size_t i = 0; i < row_.at("adapters").size(); ++i) {
      const std::string index = std::to_string(i);
      const bool transposed =
          row_.at("fan_in_fan_out").get<bool>() || row_.at("kind") == "embedding";
      const WeightPtr magnitude = has("magnitude" + index) ? tensor("magnitude" + index) : nullptr;
      merged =
          merge_lora(merged,
                     {tensor("A" + index), tensor("B" + index), scaling(i), magnitude, transposed},
                     tensor("W"));
    }
    return merged;
  }
  [[nodiscard]] WeightPtr bias() const {
    WeightPtr merged = tensor("bias");
    for (size_t i = 0; i < row_.at("adapters").size(); ++i) {
      merged = add_scaled(merged, tensor("B_bias" + std::to_string(i)), scaling(i));
    }
    return merged;
  }

 private:
  [[nodiscard]] double scaling(size_t index) const {
    return row_.at("adapters").at(index).at("scaling");
  }

  Json row_;
  TensorMap tensors_;
};

TEST(GoldenLayers, EqualPeft) {
  const Json cases = read_json(test::source_path("tests/goldens/merge/cases.json"));
  EXPECT_GE(cases.at("cases").size(), 20U);
  for (const Json& row : cases.at("cases")) {
    SCOPED_TRACE(row.at("name"));
    const LayerMerge layer(row);
    const WeightPtr merged = layer.weight();
    const Doubles exact = read_doubles(*layer.tensor("merged64"));
    const Doubles peft = read_doubles(*layer.tensor("merged"));
    ASSERT_EQ(merged->shape(), layer.tensor("merged64")->shape());
    EXPECT_LE(largest_difference(read_doubles(*merged), exact), kFewUlps * largest(exact));
    if (merged->dtype() == DType::kF32) {
      EXPECT_LE(largest_difference(read_doubles(*merged), peft), kFewUlps * largest(peft));
    } else {
      expect_one_rounding(merged->dtype(), read_stored(*merged), exact, peft);
    }
    if (layer.has("bias")) {
      const Doubles bias = read_doubles(*layer.tensor("merged_bias"));
      EXPECT_LE(largest_difference(read_doubles(*layer.bias()), bias), kFewUlps * largest(bias));
    }
  }
}

}  // namespace
}  // namespace lorapress
