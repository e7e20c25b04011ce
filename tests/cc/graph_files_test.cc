// What lorapress.json says of graphs: true for every bundle, dtype and dialect, told where it is not, and found out
// where a manifest of version 1 does not say it.
#include <gtest/gtest.h>

#include "lorapress/bench.h"
#include "lorapress/caption.h"

#include "bundles/bundle.h"
#include "bundles/manifest.h"
#include "graph/ports.h"
#include "runtime/graph_choice.h"
#include "runtime/ort/ort.h"
#include "schemes/scheme.h"
#include "verify/graph_claims.h"
#include "verify_util.h"

namespace lorapress {
namespace {

using test::all_faults;
using test::change_json;
using test::contains;
using test::Golden;
using test::source_of;
using test::TempFolder;
namespace fs = std::filesystem;

Manifest press_as(const fs::path& out,
                  const std::string& bundle,
                  OpDialect ops = OpDialect::kOrt,
                  bool external_data = false,
                  std::vector<std::string> dtypes = {"fp32"},
                  int accuracy_level = 4) {
  PressOptions options;
  options.source = source_of("base");
  options.out = out;
  options.bundle = bundle;
  options.ops = ops;
  options.external_data = external_data;
  options.dtypes = std::move(dtypes);
  options.scheme.accuracy_level = accuracy_level;
  export_bundle(options);
  return read_manifest(out);
}

std::vector<std::string> all_dtypes() {
  std::vector<std::string> names;
  for (const Scheme& row : schemes()) {
    names.emplace_back(row.name);
  }
  return names;
}

TEST(GraphFiles, AreTrueOfEveryBundleAndDtype) {
  size_t caches = 0;
  const Checkpoint checkpoint = open_checkpoint(source_of("base"));
  for (const Bundle* row : bundles()) {
    if (!row->accepts(checkpoint) || row->folder.on_hub) {
      continue;  // on a hub are the graphs of transformers.js
    }
    for (const OpDialect ops : {OpDialect::kOrt, OpDialect::kStandard}) {
      SCOPED_TRACE(std::string(row->name) + (ops == OpDialect::kOrt ? " ort" : " standard"));
      const TempFolder folder;
      const Manifest manifest = press_as(
          folder / "out", std::string(row->name), ops, ops == OpDialect::kStandard, all_dtypes());
      for (const auto& [dtype, roles] : manifest.graphs) {
        EXPECT_EQ(false_graph_claims(folder / "out", manifest, dtype), std::vector<std::string>{});
        for (const auto& [role, path] : roles) {
          const GraphFile& facts = manifest.graph_files.at(path);
          caches += facts.cache_dtype ? 1 : 0;
          if (facts.cache_dtype) {  // the scheme's row and the dialect say the same
            EXPECT_EQ(*facts.cache_dtype, scheme(dtype).half_cache ? DType::kF16 : DType::kF32);
            EXPECT_EQ(facts.in_place_cache, ops == OpDialect::kOrt && role != "prefix_init")
                << role;
          }
        }
      }
    }
  }
  EXPECT_EQ(caches, 5U * 2U * all_dtypes().size());  // of single none, of components two
}

TEST(GraphFiles, SayWhereProductsAreIntegers) {
  const TempFolder folder;
  for (const int level : {0, 4}) {
    const Manifest manifest = press_as(folder / std::to_string(level),
                                       "transformers.js",
                                       OpDialect::kOrt,
                                       false,
                                       {"fp32", "q8", "q4", "q4f16"},
                                       level);
    for (const char* role : {"encoder", "decoder"}) {
      for (const char* dtype : {"q4", "q4f16"}) {
        EXPECT_EQ(graph_facts(manifest, dtype, role).integer_products, level == 4) << dtype << role;
      }
      EXPECT_FALSE(graph_facts(manifest, "fp32", role).integer_products);
      EXPECT_FALSE(graph_facts(manifest, "q8", role).integer_products);
    }
  }
}

TEST(GraphFiles, NameTheWeightFilesOfEachGraph) {
  const TempFolder folder;
  using Paths = std::vector<std::string>;
  const Manifest apart = press_as(folder / "apart", "transformers.js", OpDialect::kOrt, true);
  EXPECT_EQ(graph_facts(apart, "fp32", "decoder").external_data,
            Paths{"onnx/decoder_model_merged.onnx_data"});
  const Manifest shared = press_as(folder / "shared", "components");
  for (const char* role : {"language_model", "prefix_init"}) {
    EXPECT_EQ(graph_facts(shared, "fp32", role).external_data,
              Paths{"language_model/model.onnx_data"});
  }
  EXPECT_EQ(graph_facts(shared, "fp32", "projection").external_data, Paths{});
  for (const auto& [name, manifest] : {std::pair("apart", apart), std::pair("shared", shared)}) {
    uint64_t bytes = 0;
    for (const auto& entry : fs::recursive_directory_iterator(folder / name)) {
      bytes += contains(entry.path().filename().string(), ".onnx") ? entry.file_size() : 0;
    }
    EXPECT_EQ(dtype_bytes(manifest, "fp32"), bytes);
  }
}

TEST(GraphFiles, OfPressedGraphsHaveThePortsOfTheTable) {
  const TempFolder folder;
  const Manifest manifest = press_as(folder / "out", "transformers.js");
  const Json golden = read_json(test::source_path("tests/goldens/ports.json"));
  for (const std::string role : {"encoder", "decoder"}) {
    const OrtSession session(folder.path() / "out" / manifest.graphs.at("fp32").at(role), 1);
    for (const auto& [key, ports] :
         {std::pair("inputs", session.inputs()), std::pair("outputs", session.outputs())}) {
      Json plain = Json::array();
      int64_t cached = 0;
      for (const OrtPort& port : ports) {
        if (is_cache_port(port.name)) {
          ++cached;
        } else {
          plain.push_back(port.name);
        }
      }
      EXPECT_EQ(plain, golden.at(role).at(key));
      EXPECT_EQ(cached, role == "decoder" ? 2 * manifest.num_hidden_layers : 0);
    }
  }
}

TEST(GraphFiles, ThatLieAreReportedByVerify) {
  const TempFolder folder;
  const fs::path model = folder / "model";
  press_as(model, "transformers.js", OpDialect::kOrt, true);
  const Json good = read_json(model / kManifestName);
  ASSERT_TRUE(verify(test::options_of(source_of("base"), model)).passed);
  const std::string decoder = good.at("graphs").at("fp32").at("decoder");
  const std::string encoder = good.at("graphs").at("fp32").at("encoder");
  struct Lie {
    std::string graph;
    Json claim;
    const char* says;
  };
  for (const Lie& lie : {Lie{decoder,
                             {{"cache_dtype", "float16"}},
                             R"("cache_dtype" is "float16", the graph has "float32")"},
                         Lie{decoder,
                             {{"in_place_cache", false}},
                             R"("in_place_cache" is false, the graph has true)"},
                         Lie{decoder,
                             {{"integer_products", true}},
                             R"("integer_products" is true, the graph has false)"},
                         Lie{decoder,
                             {{"external_data", Json::array()}},
                             R"("external_data" is [], the graph has ["onnx/)"},
                         Lie{encoder,
                             {{"cache_dtype", "float32"}, {"in_place_cache", false}},
                             R"("cache_dtype" is "float32", the graph has null)"}}) {
    SCOPED_TRACE(lie.says);
    change_json(model / kManifestName, [&](Json& json) {
      json = good;
      json["graph_files"][lie.graph].update(lie.claim);
    });
    const VerifyReport report = verify(test::options_of(source_of("base"), model));
    EXPECT_FALSE(report.passed);
    EXPECT_TRUE(contains(all_faults(report), lie.graph)) << all_faults(report);
    EXPECT_TRUE(contains(all_faults(report), lie.says)) << all_faults(report);
  }
}

TEST(PreferredDtypes, AreTheFoldersOwnInTheOrderOfTheTable) {
  const TempFolder folder;
  press_as(folder / "out", "transformers.js", OpDialect::kOrt, false, {"fp32", "q4f16", "int8"});
  EXPECT_EQ(read_json(folder / "out/lorapress.json").at("preferred_dtypes"),
            (Json{{"wasm", {"int8", "fp32", "q4f16"}},
                  {"webgpu", {"fp32", "q4f16"}},
                  {"webgpu_f16", {"q4f16", "fp32"}}}));
}

// A folder of today with the manifest that the version before wrote.
class VersionOne : public ::testing::Test {
 protected:
  VersionOne() {
    press_as(new_, "transformers.js", OpDialect::kOrt, true, {"fp32", "int8", "q4", "q4f16"});
    fs::copy(new_, old_, fs::copy_options::recursive);
    change_json(old_ / kManifestName, [](Json& json) { json = test::version_1(json); });
  }

  TempFolder folder_;
  fs::path new_ = folder_ / "new";
  fs::path old_ = folder_ / "old";
};

TEST_F(VersionOne, IsWhatTheProgramBeforeWrote) {
  const Json written = read_json(test::source_path("tests/goldens/manifest_1.json"));
  const Json made = read_json(old_ / kManifestName);
  for (const auto& [key, value] : written.items()) {
    EXPECT_TRUE(made.contains(key)) << key;
  }
  EXPECT_EQ(made.size(), written.size());
  const Manifest manifest = parse_manifest(written, "golden");
  EXPECT_EQ(manifest.format_version, 1);
  EXPECT_EQ(graph_facts(manifest, "q4", "decoder").external_data,
            std::vector<std::string>{"onnx/decoder_model_merged_q4.onnx_data"});
  EXPECT_FALSE(graph_facts(manifest, "q4", "decoder").in_place_cache);  // without the graph
}

TEST_F(VersionOne, IsReadAsIfItSaidWhatTodaysSays) {
  const Manifest now = read_manifest(new_);
  const Manifest before = read_manifest(old_);
  EXPECT_EQ(before.format_version, 1);
  ASSERT_EQ(before.graph_files.size(), now.graph_files.size());
  for (const auto& [path, facts] : now.graph_files) {
    EXPECT_EQ(graph_file_json(before.graph_files.at(path)), graph_file_json(facts)) << path;
  }
  for (const auto& [dtype, roles] : now.graphs) {
    EXPECT_EQ(dtype_bytes(before, dtype), dtype_bytes(now, dtype));
  }
  const GraphChoice choice = choose_graphs(before, old_, "auto");
  EXPECT_EQ(choice.encoder + choice.prefill + choice.decoder, "int8int8q4");
}

TEST_F(VersionOne, CaptionsVerifiesAndMeasures) {
  const fs::path image = Golden("base").image(0);
  for (const char* dtype : {"fp32", "q4f16", "auto"}) {
    EXPECT_EQ(Captioner(old_, CaptionerOptions{dtype, 1}).caption(image).ids,
              Captioner(new_, CaptionerOptions{dtype, 1}).caption(image).ids);
  }
  const VerifyReport report = verify(test::options_of(source_of("base"), old_));
  EXPECT_TRUE(report.passed) << all_faults(report);
  BenchOptions options;
  options.folder = old_;
  options.new_tokens = 2;
  EXPECT_EQ(bench_dtype(options).bytes, dtype_bytes(read_manifest(new_), "fp32"));
}

// The rest of the folder works as it did.
TEST_F(VersionOne, WithABrokenGraphStillHasTheOthers) {
  write_text(old_ / "onnx/decoder_model_merged_q4.onnx.new", "no graph");
  fs::rename(old_ / "onnx/decoder_model_merged_q4.onnx.new",
             old_ / "onnx/decoder_model_merged_q4.onnx");
  EXPECT_FALSE(Captioner(old_).caption(Golden("base").image(0)).ids.empty());
}

}  // namespace
}  // namespace lorapress
