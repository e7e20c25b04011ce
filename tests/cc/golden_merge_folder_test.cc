// What merge() writes: a plain checkpoint that is read again as what it was.
#include <gtest/gtest.h>

#include "lorapress/merge.h"

#include "base/convert.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint_util.h"
#include "golden_util.h"

namespace lorapress {
namespace {

using test::bytes_of;
using test::contains;
using test::Golden;
using test::message_of;
using test::TempFolder;
namespace fs = std::filesystem;

MergeOptions options_of(const Source& source, const fs::path& out) {
  MergeOptions options;
  options.source = source;
  options.out = out;
  return options;
}

Source source_of(const fs::path& checkpoint) {
  Source source;
  source.checkpoint = checkpoint;
  return source;
}

// The last case merges something wherever anything is merged.
const Json& richest_case(const Golden& golden) {
  return golden.cases().at(golden.cases().size() - 1);
}

void expect_plain_name(const std::string& name) {
  for (const std::string part : {"lora_",
                                 "base_layer",
                                 "modules_to_save",
                                 "original_module",
                                 "base_model",
                                 "module.",
                                 "_orig_mod",
                                 "default"}) {
    EXPECT_FALSE(contains(name, part)) << name;
  }
}

void expect_same(const Checkpoint& left, const Checkpoint& right) {
  ASSERT_EQ(left.tensors.size(), right.tensors.size());
  for (const auto& [name, tensor] : left.tensors) {
    const ModelTensor& other = right.tensors.at(name);
    EXPECT_EQ(tensor.name, other.name);
    EXPECT_EQ(tensor.weight->shape(), other.weight->shape()) << name;
    EXPECT_EQ(tensor.weight->dtype(), other.weight->dtype()) << name;
    EXPECT_TRUE(bytes_of(*tensor.weight) == bytes_of(*other.weight)) << name;
  }
}

class GoldenMergeFolder : public ::testing::TestWithParam<std::string> {
 protected:
  // model_type and class of the golden's decoder.
  static std::pair<std::string, std::string> text_type() {
    const std::map<std::string, std::pair<std::string, std::string>> others{
        {"mistral", {"mistral", "MistralForCausalLM"}},
        {"phi3", {"phi3", "Phi3ForCausalLM"}},
        {"qwen2", {"qwen2", "Qwen2ForCausalLM"}},
        {"qwen2window", {"qwen2", "Qwen2ForCausalLM"}},
        {"qwen3", {"qwen3", "Qwen3ForCausalLM"}}};
    const auto found = others.find(GetParam());
    return found == others.end() ? std::pair<std::string, std::string>{"llama", "LlamaForCausalLM"}
                                 : found->second;
  }
};

TEST_P(GoldenMergeFolder, IsTheCheckpointWithoutAdapters) {
  const Golden golden(GetParam());
  const TempFolder folder;
  const Source source = golden.source(richest_case(golden));
  const MergeReport report = merge(options_of(source, folder / "out"));
  const Checkpoint before = open_checkpoint(source);
  const Checkpoint after = open_checkpoint(source_of(folder / "out"));
  expect_same(before, after);
  EXPECT_TRUE(after.adapters.empty());
  EXPECT_EQ(report.tensors, before.tensors.size());
  size_t adapted = 0;
  uint64_t parameters = 0;
  for (const auto& [name, tensor] : before.tensors) {
    adapted += tensor.adapted ? 1 : 0;
    parameters += tensor.weight->bytes() / dtype_size(tensor.weight->dtype());
  }
  EXPECT_EQ(report.merged, adapted);
  EXPECT_EQ(report.parameters, parameters);
  for (const auto& [name, weight] : open_safetensors(folder / "out/model.safetensors")) {
    expect_plain_name(name);
  }
  const Json config = read_json(folder / "out/config.json");
  for (const auto& [key, value] : config.items()) {
    EXPECT_FALSE(key.starts_with("lora_")) << key;
  }
  EXPECT_EQ(config.at("model_type"), "prefix_conditioning_vlm");
  EXPECT_EQ(config.at("text_config").at("model_type"), text_type().first);
  EXPECT_EQ(config.at("vision_config").at("model_type"), before.vision->model_type);
}

TEST_P(GoldenMergeFolder, HasTheDecoderByItself) {
  const Golden golden(GetParam());
  const TempFolder folder;
  const Source source = golden.source(richest_case(golden));
  merge(options_of(source, folder / "out"));
  const Checkpoint whole = open_checkpoint(source);
  const fs::path decoder = folder / "out/language_model";
  const TensorMap tensors = open_safetensors(decoder / "model.safetensors");
  size_t found = 0;
  for (const auto& [name, tensor] : whole.tensors) {
    constexpr std::string_view kPrefix = "language_model.";
    if (name.starts_with(kPrefix)) {
      EXPECT_TRUE(bytes_of(*tensors.at(name.substr(kPrefix.size()))) == bytes_of(*tensor.weight))
          << name;
      ++found;
    }
  }
  EXPECT_EQ(tensors.size(), found);
  const Json config = read_json(decoder / "config.json");
  EXPECT_EQ(config.at("model_type"), text_type().first);
  EXPECT_EQ(config.at("architectures"), Json::array({text_type().second}));
  const Checkpoint plain = open_checkpoint(source_of(decoder));
  EXPECT_EQ(plain.text->hidden_size, whole.text->hidden_size);
  EXPECT_EQ(std::get<LlamaLayers>(plain.text->layers).rope.rope_type,
            std::get<LlamaLayers>(whole.text->layers).rope.rope_type);
  EXPECT_EQ(plain.text->max_position_embeddings, whole.text->max_position_embeddings);
  EXPECT_EQ(plain.tensors.size(), found);
  EXPECT_TRUE(fs::exists(decoder / "tokenizer.json"));
}

TEST_P(GoldenMergeFolder, IsMergedAgainToItself) {
  const Golden golden(GetParam());
  const TempFolder folder;
  MergeOptions first = options_of(golden.source(richest_case(golden)), folder / "one");
  first.threads = 1;
  merge(first);
  MergeOptions again = options_of(source_of(folder / "one"), folder / "two");
  again.threads = 4;
  const MergeReport report = merge(again);
  EXPECT_EQ(report.merged, 0U);
  std::vector<std::string> paths;
  for (const OutputFileInfo& file : report.files) {
    EXPECT_TRUE(read_text(folder.path() / "one" / file.path) ==
                read_text(folder.path() / "two" / file.path))
        << file.path;
    EXPECT_EQ(fs::file_size(folder.path() / "two" / file.path), file.bytes);
    paths.push_back(file.path);
  }
  for (const std::string path : {"config.json",
                                 "model.safetensors",
                                 "tokenizer.json",
                                 "language_model/config.json",
                                 "language_model/model.safetensors"}) {
    EXPECT_NE(std::ranges::find(paths, path), paths.end()) << path;
  }
}

INSTANTIATE_TEST_SUITE_P(All,
                         GoldenMergeFolder,
                         ::testing::ValuesIn(test::golden_names()),
                         [](const auto& row) { return row.param; });

// Each float tensor is rounded from the float32 sums to the wanted dtype, once.
TEST(MergeDtype, ConvertsEveryFloat) {
  for (const std::string name : {"base", "savefull", "sharded"}) {
    const Golden golden(name);
    const Source source = golden.source(golden.cases().at(0));
    const Checkpoint checkpoint = open_checkpoint(source);
    for (const auto& [choice, dtype, torch] : {std::tuple{"fp32", DType::kF32, "float32"},
                                               {"fp16", DType::kF16, "float16"},
                                               {"bf16", DType::kBF16, "bfloat16"}}) {
      const TempFolder folder;
      MergeOptions options = options_of(source, folder / "out");
      options.dtype = choice;
      merge(options);
      const TensorMap written = open_safetensors(folder / "out/model.safetensors");
      for (const auto& [canonical, tensor] : checkpoint.tensors) {
        const WeightPtr& found = written.at(tensor.name);
        std::string expected(found->bytes(), '\0');
        from_float32(
            dtype, read_all_float32(*tensor.weight), std::as_writable_bytes(std::span(expected)));
        EXPECT_EQ(found->dtype(), dtype) << canonical;
        EXPECT_TRUE(bytes_of(*found) == expected) << canonical;
      }
      const Json config = read_json(folder / "out/config.json");
      EXPECT_EQ(config.value("dtype", config.value("torch_dtype", "")), torch);
    }
  }
}

TEST(MergeFolder, TakesADecoderAlone) {
  const TempFolder folder;
  test::write_tiny_llama(folder / "m", test::tiny_llama_config());
  merge(options_of(source_of(folder / "m"), folder / "out"));
  EXPECT_FALSE(fs::exists(folder / "out/language_model"));
  const TensorMap tensors = open_safetensors(folder / "out/model.safetensors");
  EXPECT_EQ(tensors.size(), test::tiny_llama_shapes().size());
  EXPECT_TRUE(tensors.contains("model.embed_tokens.weight"));
  expect_same(open_checkpoint(source_of(folder / "m")), open_checkpoint(source_of(folder / "out")));
}

TEST(MergeFolder, ChecksTheTensorsBeforeItWrites) {
  const TempFolder folder;
  test::write_tiny_llama(folder / "m", test::tiny_llama_config(), "model.norm.weight");
  const std::string text = message_of(
      ErrorCode::kMismatch, [&] { merge(options_of(source_of(folder / "m"), folder / "out")); });
  EXPECT_TRUE(contains(text, "1 missing: language_model.model.norm.weight [4]")) << text;
  EXPECT_EQ(folder.names(), std::vector<std::string>{"m"});
}

TEST(MergeFolder, RefusesWrongOptions) {
  const TempFolder folder;
  test::write_tiny_llama(folder / "m", test::tiny_llama_config());
  MergeOptions options = options_of(source_of(folder / "m"), folder / "out");
  options.dtype = "int8";
  message_of(ErrorCode::kInvalidArgument, [&] { merge(options); });
  options.dtype = "keep";
  options.out = folder / "m";
  options.force = true;
  EXPECT_THROW(merge(options), Error);  // it would delete what it reads
  options.force = false;
  fs::create_directory(folder / "there");
  options.out = folder / "there";
  message_of(ErrorCode::kExists, [&] { merge(options); });
}

TEST(MergeFolder, LeavesNothingWhenItIsCancelled) {
  const TempFolder folder;
  const Golden golden("base");
  MergeOptions options = options_of(golden.source(golden.cases().at(0)), folder / "out");
  options.progress = [](const Progress&) { throw std::range_error("stop"); };
  EXPECT_THROW(merge(options), std::range_error);
  EXPECT_TRUE(folder.names().empty());
}

}  // namespace
}  // namespace lorapress
