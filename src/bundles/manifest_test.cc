#include "bundles/manifest.h"

#include <gtest/gtest.h>
#include <sstream>

#include "test_util.h"

namespace lorapress {
namespace {

using test::contains;
using test::message_of;
using test::source_path;
using test::TempFolder;

Json valid() {
  const std::string digest(64, 'a');
  return {{"format_version", 2},
          {"bundle", "transformers.js"},
          {"default_dtype", "fp32"},
          {"chunk_bytes", kChunkBytes},
          {"model",
           {{"image_tokens", 16},
            {"vocab_size", 320},
            {"num_hidden_layers", 2},
            {"num_key_value_heads", 1},
            {"head_dim", 16},
            {"max_position_embeddings", 512}}},
          {"generation",
           {{"decoder_start_token_id", 0}, {"eos_token_id", {0, 2}}, {"max_new_tokens", 30}}},
          {"preprocessing",
           {{"size", {{"height", 32}, {"width", 48}}},
            {"resample", "bicubic"},
            {"rescale_factor", 0.5},
            {"image_mean", {0.5, 0.25, 0}},
            {"image_std", {1, 2, 3}}}},
          {"graphs", {{"fp32", {{"encoder", "onnx/e.onnx"}, {"decoder", "onnx/d.onnx"}}}}},
          {"graph_files",
           {{"onnx/e.onnx", {{"external_data", Json::array()}, {"integer_products", false}}},
            {"onnx/d.onnx",
             {{"external_data", {"a/B-9_/c.x-y"}},
              {"cache_dtype", "float16"},
              {"in_place_cache", true},
              {"integer_products", true}}}}},
          {"preferred_dtypes",
           {{"wasm", {"fp32"}}, {"webgpu", Json::array()}, {"webgpu_f16", {"fp32"}}}},
          {"tokenizer", {{"file", "tokenizer.json"}}},
          {"files",
           {{{"path", "onnx/e.onnx"}, {"bytes", 5}, {"sha256", {digest}}},
            {{"path", "onnx/d.onnx"}, {"bytes", kChunkBytes + 1}, {"sha256", {digest, digest}}},
            {{"path", "tokenizer.json"}, {"bytes", 0}, {"sha256", Json::array()}},
            {{"path", "a/B-9_/c.x-y"}, {"bytes", 1}, {"sha256", {digest}}}}}};
}

TEST(Manifest, Parses) {
  const Manifest manifest = parse_manifest(valid(), "x");
  EXPECT_EQ(manifest.bundle, "transformers.js");
  EXPECT_EQ(manifest.image_tokens, 16);
  EXPECT_EQ(manifest.eos_token_ids, (std::vector<int64_t>{0, 2}));
  EXPECT_EQ(manifest.max_new_tokens, 30);
  EXPECT_EQ(manifest.preprocessing.height, 32);
  EXPECT_EQ(manifest.preprocessing.width, 48);
  EXPECT_EQ(manifest.preprocessing.image_mean, (std::array<double, 3>{0.5, 0.25, 0.0}));
  EXPECT_EQ(manifest.graphs.at("fp32").at("decoder"), "onnx/d.onnx");
  const GraphFile& decoder = graph_facts(manifest, "fp32", "decoder");
  EXPECT_EQ(decoder.external_data, std::vector<std::string>{"a/B-9_/c.x-y"});
  EXPECT_EQ(decoder.cache_dtype, DType::kF16);
  EXPECT_TRUE(decoder.in_place_cache && decoder.integer_products);
  EXPECT_FALSE(graph_facts(manifest, "fp32", "encoder").cache_dtype);
  EXPECT_EQ(dtype_bytes(manifest, "fp32"), 5 + kChunkBytes + 1 + 1);
  ASSERT_EQ(manifest.files.size(), 4U);
  EXPECT_EQ(manifest.files[1].sha256.size(), 2U);
}

struct Change {
  std::string pointer;
  Json value;  // null: the member is removed
  ErrorCode code = ErrorCode::kInvalidFile;
};

const std::vector<Change> kBroken{
    {"/format_version", 3, ErrorCode::kUnsupported},
    {"/format_version", 0, ErrorCode::kUnsupported},
    {"/format_version", "1"},
    {"/format_version", nullptr},
    {"/chunk_bytes", 4096, ErrorCode::kUnsupported},
    {"/chunk_bytes", 0},
    {"/bundle", 3},
    {"/default_dtype", "fp16"},
    {"/default_dtype", nullptr},
    {"/model", nullptr},
    {"/model", Json::array()},
    {"/model/image_tokens", 0},
    {"/model/image_tokens", -16},
    {"/model/image_tokens", 16.5},
    {"/model/vocab_size", int64_t{1} << 40},
    {"/model/num_hidden_layers", 1 << 20},
    {"/model/head_dim", "16"},
    {"/generation/decoder_start_token_id", 320},
    {"/generation/decoder_start_token_id", -1},
    {"/generation/eos_token_id", 0},
    {"/generation/eos_token_id", Json::array()},
    {"/generation/eos_token_id", Json::array({0, 320})},
    {"/generation/eos_token_id", Json::array({"0"})},
    {"/generation/eos_token_id", Json::array({Json::array({0})})},
    {"/generation/max_new_tokens", 0},
    {"/generation/max_new_tokens", int64_t{1} << 30},
    {"/preprocessing/size", nullptr},
    {"/preprocessing/size/height", 0},
    {"/preprocessing/size/width", 100000},
    {"/preprocessing/resample", 3},
    {"/preprocessing/rescale_factor", "0.5"},
    {"/preprocessing/image_mean", 0.5},
    {"/preprocessing/image_mean", Json::array({0.5, 0.5})},
    {"/preprocessing/image_std", Json::array({0.5, 0.5, "1"})},
    {"/preprocessing/image_std", Json::array({0.5, 0.5, 0.0})},
    {"/graphs", nullptr},
    {"/graphs", Json::object()},
    {"/graphs/fp32", "onnx/d.onnx"},
    {"/graphs/fp32", Json::array({"onnx/d.onnx"})},
    {"/graphs/fp32/decoder", 3},
    {"/graphs/fp32/decoder", ""},
    {"/graphs/fp32/decoder", "/etc/passwd"},
    {"/graphs/fp32/decoder", "../d.onnx"},
    {"/graphs/fp32/decoder", "onnx/../../d.onnx"},
    {"/graphs/fp32/decoder", "onnx\\d.onnx"},
    {"/graphs/fp32/decoder", "onnx/other.onnx"},
    {"/graph_files", nullptr},
    {"/graph_files", Json::array()},
    {"/graph_files/onnx~1e.onnx", nullptr},
    {"/graph_files/onnx~1e.onnx", 3},
    {"/graph_files/onnx~1e.onnx/weights", "x"},
    {"/graph_files/onnx~1e.onnx/in_place_cache", false},  // without a cache
    {"/graph_files/onnx~1e.onnx/integer_products", nullptr},
    {"/graph_files/onnx~1e.onnx/integer_products", 0},
    {"/graph_files/onnx~1e.onnx/external_data", nullptr},
    {"/graph_files/onnx~1e.onnx/external_data", "a/B-9_/c.x-y"},
    {"/graph_files/onnx~1e.onnx/external_data", Json::array({3})},
    {"/graph_files/onnx~1e.onnx/external_data", Json::array({"onnx/other.onnx_data"})},
    {"/graph_files/onnx~1e.onnx/external_data", Json::array({"../e.onnx_data"})},
    {"/graph_files/onnx~1d.onnx/external_data", Json::array({"tokenizer.json", "tokenizer.json"})},
    {"/graph_files/onnx~1d.onnx/cache_dtype", nullptr},
    {"/graph_files/onnx~1d.onnx/cache_dtype", "bfloat16"},
    {"/graph_files/onnx~1d.onnx/cache_dtype", 16},
    {"/graph_files/onnx~1d.onnx/in_place_cache", nullptr},
    {"/graph_files/onnx~1d.onnx/in_place_cache", "yes"},
    {"/graph_files/onnx~1other.onnx",
     {{"external_data", Json::array()}, {"integer_products", false}}},
    {"/preferred_dtypes", nullptr},
    {"/preferred_dtypes/wasm", nullptr},
    {"/preferred_dtypes/wasm", "fp32"},
    {"/preferred_dtypes/wasm", Json::array({"q8"})},
    {"/preferred_dtypes/wasm", Json::array({3})},
    {"/preferred_dtypes/webgpu", Json::array({"fp32", "fp32"})},
    {"/preferred_dtypes/webnn", Json::array({"fp32"})},
    {"/tokenizer", nullptr},
    {"/tokenizer/file", "../tokenizer.json"},
    {"/tokenizer/file", "other.json"},
    {"/preprocessing/resample", "nearest", ErrorCode::kUnsupported},
    {"/files", nullptr},
    {"/files", Json::array()},
    {"/files/3/path", "onnx/e.onnx"},
    {"/files/3/path", kManifestName},
    {"/files/3/path", std::string(256, 'a')},
    {"/files/3/path", "/a"},
    {"/files/3/path", "a/"},
    {"/files/3/path", "a//b"},
    {"/files/3/path", "./a"},
    {"/files/3/path", "a/.b"},
    {"/files/3/path", "-a"},
    {"/files/3/path", "c:a"},
    {"/files/3/path", "a b"},
    {"/files/3/path", "a%2fb"},
    {"/files/3/path", "a?b"},
    {"/files/3/path", "\u00e4"},
    {"/files/3/path", std::string("a\0b", 3)},
    {"/files/3/path", "a\n"},
    {"/files", Json::object()},
    {"/files/0", 3},
    {"/files/0/path", "../e.onnx"},
    {"/files/0/path", nullptr},
    {"/files/0/bytes", -1},
    {"/files/0/bytes", int64_t{1} << 50},
    {"/files/0/sha256", Json::array()},
    {"/files/0/sha256", std::string(64, 'a')},
    {"/files/0/sha256/0", std::string(64, 'A')},
    {"/files/0/sha256/0", std::string(63, 'a')},
    {"/files/0/sha256/0", 3},
    {"/files/2/sha256", Json::array({std::string(64, 'a')})},  // of no bytes
};

TEST(Manifest, RefusesWhatIsBroken) {
  for (const Change& change : kBroken) {
    Json json = valid();
    const Json::json_pointer pointer(change.pointer);
    if (change.value.is_null()) {
      json[pointer.parent_pointer()].erase(pointer.back());
    } else {
      json[pointer] = change.value;
    }
    const std::string text = message_of(change.code, [&] { parse_manifest(json, "here"); });
    EXPECT_TRUE(contains(text, "here")) << change.pointer << " = " << change.value << ": " << text;
  }
}

// A manifest of version 1 has none of what came with 2, and the same faults.
TEST(Manifest, OfVersionOneFindsWeightFilesByTheirNames) {
  Json json = valid();
  json["format_version"] = 1;
  json.erase("graph_files");
  json.erase("preferred_dtypes");
  json["files"][3]["path"] = "onnx/d.onnx_data";
  const Manifest manifest = parse_manifest(json, "x");
  EXPECT_EQ(graph_facts(manifest, "fp32", "decoder").external_data,
            std::vector<std::string>{"onnx/d.onnx_data"});
  EXPECT_EQ(graph_facts(manifest, "fp32", "encoder").external_data, std::vector<std::string>{});
  EXPECT_FALSE(graph_facts(manifest, "fp32", "decoder").in_place_cache);
  json["graphs"]["fp32"]["decoder"] = "onnx/other.onnx";
  message_of(ErrorCode::kInvalidFile, [&] { parse_manifest(json, "x"); });
}

TEST(Manifest, RefusesWhatIsNoObject) {
  for (const Json& json : {Json(), Json(3), Json::array(), Json("x")}) {
    message_of(ErrorCode::kInvalidFile, [&] { parse_manifest(json, "x"); });
  }
}

TEST(Manifest, IsReadFromItsFolder) {
  const TempFolder folder;
  message_of(ErrorCode::kNotFound, [&] { read_manifest(folder.path()); });
  write_text(folder / kManifestName, valid().dump());
  EXPECT_EQ(read_manifest(folder.path()).vocab_size, 320);
}

TEST(Manifest, WritesFilesAsItReadsThem) {
  const Json json = valid();
  for (const Json& file : json["files"]) {
    EXPECT_EQ(manifest_file_json({file["path"], file["bytes"], file["sha256"]}), file);
  }
}

// The collection that the web client reads, too: index.tsv has a row per file, with the error.
TEST(Manifest, RefusesEveryHostileOne) {
  const auto folder = source_path("tests/hostile/manifests");
  std::istringstream index(read_text(folder / "index.tsv"));
  size_t refused = 0;
  for (std::string name, code, why; std::getline(index, name, '\t') &&
                                    std::getline(index, code, '\t') && std::getline(index, why);) {
    try {
      parse_manifest(read_json(folder / name), name);
      ADD_FAILURE() << name << ": " << why;
    } catch (const Error& error) {
      EXPECT_EQ(error.code_name(), code) << name << ": " << error.what();
    }
    ++refused;
  }
  EXPECT_GT(refused, 50U);
}

TEST(Manifest, TakesEverySoundOne) {
  const auto folder = source_path("tests/hostile/manifests/accepted");
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    EXPECT_NO_THROW(parse_manifest(read_json(entry.path()), "x")) << entry.path();
  }
}

}  // namespace
}  // namespace lorapress
