// Checkpoints that transformers saved in bitsandbytes' 4 and 8 bits: what is read is, bit for bit,
// what bitsandbytes itself dequantizes.
#include <gtest/gtest.h>

#include "lorapress/merge.h"

#include "checkpoint/checkpoint.h"
#include "golden_util.h"

namespace lorapress {
namespace {

using test::bytes_of;
using test::contains;
using test::TempFolder;

std::filesystem::path bnb_folder() {
  return test::source_path("tests/goldens/bnb");
}

Source source_of(const std::string& name) {
  Source source;
  source.checkpoint = bnb_folder() / name;
  return source;
}

class GoldenBnb : public ::testing::TestWithParam<const char*> {};

TEST_P(GoldenBnb, EqualsItsOwnDequantization) {
  const Checkpoint checkpoint = open_checkpoint(source_of(GetParam()));
  const TensorMap golden = open_safetensors(bnb_folder() / GetParam() / "dequantized.safetensors");
  EXPECT_GE(golden.size(), 6U);
  for (const auto& [name, expected] : golden) {
    SCOPED_TRACE(name);
    const Weight& weight = *checkpoint.tensors.at("language_model." + name).weight;
    EXPECT_EQ(weight.dtype(), expected->dtype());
    EXPECT_EQ(weight.shape(), expected->shape());
    EXPECT_TRUE(bytes_of(weight) == bytes_of(*expected));
    EXPECT_EQ(read_all_float32(weight), read_all_float32(*expected));
    const Block block{3, weight.rows() - 4, 5, weight.cols() - 12};
    std::vector<float> part(block.elements());
    std::vector<float> whole(block.elements());
    weight.read_floats(block, part);
    expected->read_floats(block, whole);
    EXPECT_EQ(part, whole);
  }
}

TEST_P(GoldenBnb, BecomesAPlainCheckpoint) {
  const TempFolder folder;
  MergeOptions options;
  options.source = source_of(GetParam());
  options.out = folder / "out";
  const MergeReport report = merge(options);
  ASSERT_FALSE(report.notes.empty());
  EXPECT_TRUE(contains(report.notes[0], "dequantized from bitsandbytes'")) << report.notes[0];
  EXPECT_FALSE(read_json(folder / "out/config.json").contains("quantization_config"));
  for (const auto& [name, weight] : open_safetensors(folder / "out/model.safetensors")) {
    EXPECT_TRUE(dtype_row(weight->dtype()).is_float) << name;
    EXPECT_TRUE(name.ends_with(".weight")) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(All,
                         GoldenBnb,
                         ::testing::Values("nf4", "nf4_double", "fp4_storage", "int8"),
                         [](const auto& row) { return std::string(row.param); });

}  // namespace
}  // namespace lorapress
