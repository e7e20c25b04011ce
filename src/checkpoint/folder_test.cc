#include "checkpoint/folder.h"

#include <gtest/gtest.h>

#include "checkpoint_util.h"

namespace lorapress {
namespace {

using test::contains;
using test::message_of;
using test::TempFolder;
using test::write_safetensors;

constexpr const char* kIndex = "model.safetensors.index.json";

void write_shards(const TempFolder& folder, const std::string& map) {
  write_safetensors(folder / "one.safetensors",
                    {{"a", zeros(DType::kF32, {2})}, {"b", zeros(DType::kF32, {3})}});
  write_safetensors(folder / "two.safetensors", {{"c", zeros(DType::kF32, {4})}});
  write_text(folder / kIndex, R"({"metadata":{},"weight_map":)" + map + "}");
}

TEST(ModelFolder, OpensShards) {
  const TempFolder folder;
  EXPECT_FALSE(has_model_file(folder.path()));
  write_shards(folder, R"({"a":"one.safetensors","b":"one.safetensors","c":"two.safetensors"})");
  EXPECT_TRUE(has_model_file(folder.path()));
  const TensorMap tensors = open_model_folder(folder.path());
  EXPECT_EQ(tensors.size(), 3U);
  EXPECT_EQ(tensors.at("c")->shape(), Shape{4});
}

TEST(ModelFolder, PrefersTheSingleFile) {
  const TempFolder folder;
  write_shards(folder, "{}");
  write_safetensors(folder / "model.safetensors", {{"only", zeros(DType::kF32, {1})}});
  EXPECT_EQ(open_model_folder(folder.path()).size(), 1U);
}

TEST(ModelFolder, RefusesABrokenIndex) {
  struct Row {
    std::string map;
    std::string reason;
    ErrorCode code = ErrorCode::kInvalidFile;
  };
  const std::vector<Row> rows{
      {R"({"d":"one.safetensors"})", "tensor d is not in one.safetensors"},
      {R"({"a":"none.safetensors"})", "none.safetensors", ErrorCode::kNotFound},
      {R"({"a":"../one.safetensors"})", "shard \"../one.safetensors\""},
      {R"({"a":"/etc/passwd"})", "shard \"/etc/passwd\""},
      {R"({"a":".."})", ""},
      {R"({"a":""})", ""},
      {R"({"a":3})", "expected a string"},
      {"[]", "weight_map"},
      {"null", "weight_map"},
  };
  for (const Row& row : rows) {
    const TempFolder folder;
    write_shards(folder, row.map);
    const std::string text = message_of(row.code, [&] { open_model_folder(folder.path()); });
    EXPECT_TRUE(contains(text, row.reason)) << row.map << ": " << text;
  }
}

TEST(ModelFolder, RefusesATensorInTwoShards) {
  const TempFolder folder;
  write_shards(folder, R"({"a":"one.safetensors","c":"two.safetensors","x":"three.safetensors"})");
  write_safetensors(folder / "three.safetensors",
                    {{"a", zeros(DType::kF32, {2})}, {"x", zeros(DType::kF32, {1})}});
  const std::string text =
      message_of(ErrorCode::kInvalidFile, [&] { open_model_folder(folder.path()); });
  EXPECT_TRUE(contains(text, "tensor a stands in two shards")) << text;
}

TEST(ModelFolder, SaysWhatIsMissing) {
  const TempFolder folder;
  const auto open = [&] { open_model_folder(folder.path()); };
  EXPECT_TRUE(contains(message_of(ErrorCode::kNotFound, open), "no model.safetensors"));
  for (const std::string step : {"checkpoint-9", "checkpoint-10", "checkpoint-200"}) {
    std::filesystem::create_directory(folder / step);
    if (step != "checkpoint-200") {
      write_safetensors(folder / step / "model.safetensors", {});
    }
  }
  EXPECT_TRUE(contains(message_of(ErrorCode::kNotFound, open),
                       "checkpoint-10?"));  // the newest with a model
  write_text(folder / "pytorch_model.bin", "pickle");
  EXPECT_TRUE(contains(message_of(ErrorCode::kUnsupported, open), "safe_serialization"));
  message_of(ErrorCode::kNotFound, [&] { open_model_folder(folder / "none"); });
}

}  // namespace
}  // namespace lorapress
