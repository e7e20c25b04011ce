// Adapter folders of every kind, and checkpoints that hold an adapter of those kinds, against what
// PEFT makes of the same folders.
#include <gtest/gtest.h>

#include "checkpoint/checkpoint.h"
#include "golden_util.h"

namespace lorapress {
namespace {

using test::largest;
using test::largest_difference;
using test::read_doubles;
using test::read_stored;
using Doubles = std::vector<double>;

std::filesystem::path adapters_folder() {
  return test::source_path("tests/goldens/adapters");
}

const Json& cases() {
  static const Json json = read_json(adapters_folder() / "adapters.json");
  return json.at("cases");
}

// Sums in another order, and PEFT's SVD and QR in float32, whose error is some units in the last
// place of the largest value.
constexpr double kFloat32 = 16.0 / (1 << 23);

class GoldenAdapters : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    for (const Json& row : cases()) {
      if (row.at("name") == GetParam()) {
        row_ = row;
      }
    }
    golden_ = open_safetensors(adapters_folder() / GetParam() / "merged.safetensors");
  }
  [[nodiscard]] Source source() const {
    Source source;
    const std::string base = row_.at("base");
    source.checkpoint = adapters_folder() / (base.empty() ? GetParam() : base);
    if (!base.empty()) {
      source.adapters = {{adapters_folder() / GetParam(), 1.0}};
    }
    return source;
  }

  Json row_;
  TensorMap golden_;
};

// bfloat16: PEFT rounds the changed base; where its float32 SVD is at a boundary of rounding, that
// is one unit of the base in either direction. Elsewhere ours is rounded once.
void expect_bfloat16(const Weight& weight, const Doubles& truth) {
  const Doubles stored = read_stored(weight);
  ASSERT_EQ(stored.size(), truth.size());
  const double slack = kFloat32 * largest(truth);
  size_t once = 0;
  for (size_t i = 0; i < stored.size(); ++i) {
    const double error = std::fabs(stored[i] - truth[i]);
    once += error <= test::half_ulp(DType::kBF16, truth[i]) + slack ? 1 : 0;
    ASSERT_LE(error, 4 * test::half_ulp(DType::kBF16, largest(truth))) << i;
  }
  EXPECT_GE(once * 100, stored.size() * 99);
}

TEST_P(GoldenAdapters, EqualPeft) {
  const Checkpoint checkpoint = open_checkpoint(source());
  size_t compared = 0;
  for (const auto& [label, expected] : golden_) {
    const std::string name = label.substr(label.find('/') + 1);
    SCOPED_TRACE(label);
    const ModelTensor& found = checkpoint.tensors.at("language_model." + name);
    const Doubles wanted = read_doubles(*expected);
    EXPECT_TRUE(found.adapted);
    EXPECT_EQ(found.weight->shape(), expected->shape());
    if (row_.at("dtype") == "float32") {
      EXPECT_LE(largest_difference(read_doubles(*found.weight), wanted),
                kFloat32 * largest(wanted));
      EXPECT_LE(largest_difference(read_stored(*found.weight), wanted), kFloat32 * largest(wanted));
    } else if (label.starts_with("exact/")) {
      EXPECT_EQ(found.weight->dtype(), DType::kBF16);
      expect_bfloat16(*found.weight, wanted);
    }
    ++compared;
  }
  EXPECT_GE(compared, 2U);
}

// Any rectangle is what the whole weight has there.
TEST_P(GoldenAdapters, GiveAnyRectangle) {
  const Checkpoint checkpoint = open_checkpoint(source());
  const Weight& weight =
      *checkpoint.tensors.at("language_model.model.layers.1.self_attn.v_proj.weight").weight;
  const std::vector<float> all = read_all_float32(weight);
  const Block block{1, weight.rows() - 3, 2, weight.cols() - 5};
  std::vector<float> part(block.elements());
  weight.read_floats(block, part);
  for (int64_t row = 0; row < block.rows; ++row) {
    for (int64_t col = 0; col < block.cols; ++col) {
      ASSERT_FLOAT_EQ(
          part[static_cast<size_t>(row * block.cols + col)],
          all[static_cast<size_t>((block.row + row) * weight.cols() + block.col + col)]);
    }
  }
}

std::vector<std::string> case_names() {
  std::vector<std::string> names;
  for (const Json& row : cases()) {
    names.push_back(row.at("name"));
  }
  return names;
}

INSTANTIATE_TEST_SUITE_P(All,
                         GoldenAdapters,
                         ::testing::ValuesIn(case_names()),
                         [](const auto& row) { return row.param; });

TEST(GoldenAdapterKinds, AreAllThere) {
  EXPECT_GE(case_names().size(), 24U);
}

// What the initialization did to the base is not scaled by the adapter's weight: at 0 the changed
// base is left, as PEFT's set_scale leaves it.
TEST(GoldenAdapterKinds, KeepTheChangedBaseAtAnyWeight) {
  for (const std::string kind : {"pissa", "olora_rslora"}) {
    Source source;
    source.checkpoint = adapters_folder() / "base_float32";
    const std::string name = "language_model.model.layers.0.self_attn.q_proj.weight";
    const auto merged = [&](double weight) {
      source.adapters = {{adapters_folder() / kind, weight}};
      return read_doubles(*open_checkpoint(source).tensors.at(name).weight);
    };
    const Doubles none = merged(0.0);
    const Doubles half = merged(0.5);
    const Doubles whole = merged(1.0);
    source.adapters.clear();
    const Doubles base = read_doubles(*open_checkpoint(source).tensors.at(name).weight);
    EXPECT_GT(largest_difference(none, base), 0.1 * largest(base));
    for (size_t i = 0; i < whole.size(); ++i) {
      ASSERT_NEAR(half[i], (none[i] + whole[i]) / 2, 1e-6);
    }
  }
}

// A second adapter sees the base that the first one left, and the first one's sum stays.
TEST(GoldenAdapterKinds, AddUpInAnyOrder) {
  const std::string name = "language_model.model.layers.0.self_attn.q_proj.weight";
  Source source;
  source.checkpoint = adapters_folder() / "base_float32";
  const auto merged = [&](const std::vector<std::string>& kinds) {
    source.adapters.clear();
    for (const std::string& kind : kinds) {
      source.adapters.push_back({adapters_folder() / kind, 1.0});
    }
    return read_doubles(*open_checkpoint(source).tensors.at(name).weight);
  };
  const Doubles first = merged({"plain", "pissa"});
  EXPECT_LE(largest_difference(first, merged({"pissa", "plain"})), 1e-6);
  const Doubles base = merged({});
  const Doubles plain = merged({"plain"});
  const Doubles pissa = merged({"pissa"});
  for (size_t i = 0; i < first.size(); ++i) {
    ASSERT_NEAR(first[i], plain[i] + pissa[i] - base[i], 2e-6);
  }
}

}  // namespace
}  // namespace lorapress
