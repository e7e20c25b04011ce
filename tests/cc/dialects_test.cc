// Both dialects are the same model at head widths that the goldens do not have: ONNX Runtime's
// fused attention rotates heads of a multiple of 16 only, and others take another way through the
// graph.
#include <gtest/gtest.h>

#include "lorapress/press.h"

#include "golden_util.h"
#include "pressed.h"

namespace lorapress {
namespace {

using test::Golden;
using test::largest_difference;
using test::Pressed;
using test::TempFolder;
namespace fs = std::filesystem;

struct Heads {
  int64_t heads;
  int64_t kv_heads;
};

// The golden "base" with its 64 query and 32 key rows cut into other heads.
fs::path write_variant(const TempFolder& folder, const Heads& heads) {
  const fs::path from = test::checkpoints_folder() / "base";
  const fs::path to = folder / "variant";
  fs::create_directory(to);
  for (const char* name : {"model.safetensors", "tokenizer.json", "tokenizer_config.json"}) {
    fs::copy_file(from / name, to / name);
  }
  Json config = read_json(from / "config.json");
  config["text_config"]["num_attention_heads"] = heads.heads;
  config["text_config"]["num_key_value_heads"] = heads.kv_heads;
  config["text_config"]["head_dim"] = 64 / heads.heads;
  write_text(to / "config.json", config.dump());
  return to;
}

Pressed pressed(const fs::path& checkpoint, OpDialect ops, const fs::path& out) {
  PressOptions options;
  options.source.checkpoint = checkpoint;
  options.out = out;
  options.ops = ops;
  export_bundle(options);
  return Pressed(out);
}

void expect_same(const Pressed& left, const Pressed& right) {
  const Golden golden("base");
  const std::vector<std::vector<float>> pixels{golden.row("pixel_values", 0),
                                               golden.row("pixel_values", 2)};
  const OrtTensor left_prefix = left.encode(pixels);
  const OrtTensor right_prefix = right.encode(pixels);
  std::vector<OrtTensor> left_cache = left.empty_cache(2);
  std::vector<OrtTensor> right_cache = right.empty_cache(2);
  std::vector<std::vector<int64_t>> ids{{0, 41, 55}, {0, 7, 9}};
  for (int step = 0; step < 12; ++step) {
    const auto wanted = left.step(ids, left_prefix, left_cache);
    const auto got = right.step(ids, right_prefix, right_cache);
    for (size_t row = 0; row < 2; ++row) {
      EXPECT_LE(largest_difference({got[row].begin(), got[row].end()},
                                   {wanted[row].begin(), wanted[row].end()}),
                5e-5)
          << "row " << row << " of step " << step;
      ids[row] = {test::argmax(wanted[row])};
    }
  }
}

TEST(Dialects, AgreeAtOtherHeadWidths) {
  for (const Heads& heads : {Heads{2, 1}, {4, 2}, {8, 4}, {16, 8}, {32, 16}}) {
    SCOPED_TRACE(64 / heads.heads);
    const TempFolder folder;
    const fs::path checkpoint = write_variant(folder, heads);
    expect_same(pressed(checkpoint, OpDialect::kStandard, folder / "standard"),
                pressed(checkpoint, OpDialect::kOrt, folder / "ort"));
  }
}

}  // namespace
}  // namespace lorapress
