// Every dtype of every golden in both dialects beside its own float32 graphs: logits along the
// float32 captions, tokens, and what the files weigh. The goldens' weights are many times larger
// than trained ones (tests/oracle/README.md), so rounding shows here as it does nowhere else.
#include <cmath>
#include <gtest/gtest.h>

#include "lorapress/press.h"

#include "golden_util.h"
#include "pressed.h"

namespace lorapress {
namespace {

using test::Golden;
using test::Pressed;
using test::TempFolder;
namespace fs = std::filesystem;

const std::vector<std::string> kDtypes{"fp16", "q8", "int8", "uint8"};

void press_all(const Golden& golden, OpDialect ops, int opset, const fs::path& out) {
  PressOptions options;
  options.source = golden.source(golden.cases().at(0));
  options.out = out;
  options.ops = ops;
  options.opset = opset;
  options.dtypes = kDtypes;
  options.dtypes.insert(options.dtypes.begin(), "fp32");
  export_bundle(options);
}

// One caption, token by token: the logits before each token.
using Logits = std::vector<std::vector<float>>;

Logits along(const Pressed& pressed,
             const std::vector<float>& pixels,
             const std::vector<int64_t>& ids) {
  const OrtTensor prefix = pressed.encode({pixels});
  std::vector<OrtTensor> cache = pressed.empty_cache(1);
  Logits logits;
  std::vector<int64_t> given = pressed.start();
  for (const int64_t id : ids) {
    logits.push_back(pressed.step({given}, prefix, cache)[0]);
    given = {id};
  }
  return logits;
}

// How far the logits of one dtype are from those of float32, in parts of their spread.
struct Distance {
  double squares = 0.0;
  double spread = 0.0;
  size_t tokens = 0;
  size_t equal = 0;

  void add(const Logits& wanted, const Logits& got) {
    for (size_t step = 0; step < wanted.size(); ++step) {
      double mean = 0.0;
      for (const float value : wanted[step]) {
        mean += value / static_cast<double>(wanted[step].size());
      }
      for (size_t i = 0; i < wanted[step].size(); ++i) {
        squares += std::pow(got[step][i] - static_cast<double>(wanted[step][i]), 2);
        spread += std::pow(wanted[step][i] - mean, 2);
      }
      ++tokens;
      equal += test::argmax(wanted[step]) == test::argmax(got[step]) ? 1 : 0;
    }
  }
  [[nodiscard]] double relative() const { return std::sqrt(squares / spread); }
};

Distance distance(const Golden& golden, const fs::path& folder, const std::string& dtype) {
  const Pressed exact(folder);
  const Pressed rounded(folder, dtype);
  Distance result;
  for (const Json& caption : golden.cases().at(0).at("captions")) {
    const std::vector<int64_t> ids = caption.at("ids");
    const std::vector<float> pixels = golden.row("pixel_values", caption.at("image"));
    result.add(along(exact, pixels, ids), along(rounded, pixels, ids));
  }
  return result;
}

class Schemes : public testing::TestWithParam<OpDialect> {};

TEST_P(Schemes, StayCloseToFloat32) {
  Distance half;
  for (const std::string& name : test::golden_names()) {
    SCOPED_TRACE(name);
    const Golden golden(name);
    const TempFolder folder;
    press_all(golden, GetParam(), 17, folder / "out");
    for (const std::string& dtype : kDtypes) {
      SCOPED_TRACE(dtype);
      const Distance found = distance(golden, folder / "out", dtype);
      EXPECT_GT(found.tokens, 20U);
      EXPECT_GT(found.relative(), 0.0);
      EXPECT_LE(found.relative(), dtype == "fp16" ? 0.02 : 0.35);
      if (dtype == "fp16") {
        half.tokens += found.tokens;
        half.equal += found.equal;
      }
    }
  }
  EXPECT_GE(static_cast<double>(half.equal), 0.99 * static_cast<double>(half.tokens));
}

TEST_P(Schemes, RunAtEveryOpset) {
  const Golden golden("base");
  for (const int opset : {18, 21, 23}) {
    SCOPED_TRACE(opset);
    const TempFolder folder;
    press_all(golden, GetParam(), opset, folder / "out");
    for (const std::string& dtype : kDtypes) {
      EXPECT_LE(distance(golden, folder / "out", dtype).relative(), dtype == "fp16" ? 0.02 : 0.35);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Dialects,
                         Schemes,
                         testing::Values(OpDialect::kOrt, OpDialect::kStandard),
                         [](const auto& dialect) {
                           return dialect.param == OpDialect::kOrt ? "Ort" : "Standard";
                         });

// The trained demo model: what rounding costs where it matters. The tied table is there once, so
// no file passes its part of the float32 one.
TEST(SchemesOfTheDemo, WeighWhatTheyShouldAndCaptionAlike) {
  const TempFolder folder;
  PressOptions options;
  options.source.checkpoint = test::source_path("models/demo");
  options.out = folder / "out";
  options.dtypes = {"fp32", "fp16", "q8", "int8", "uint8"};
  export_bundle(options);
  const Json config = read_json(folder.path() / "out" / "config.json");
  EXPECT_EQ(config.at("transformers.js_config").at("kv_cache_dtype"), Json({{"fp16", "float16"}}));
  const Manifest manifest = read_manifest(folder / "out");
  const auto size_of = [&](const std::string& dtype, const std::string& role) {
    return static_cast<double>(
        fs::file_size(folder.path() / "out" / manifest.graphs.at(dtype).at(role)));
  };
  for (const std::string role : {"encoder", "decoder"}) {
    EXPECT_LE(size_of("fp16", role), 0.51 * size_of("fp32", role));
    for (const char* dtype : {"q8", "int8", "uint8"}) {
      EXPECT_LE(size_of(dtype, role), 0.31 * size_of("fp32", role));
    }
  }
  const Captioner exact(folder / "out", {.dtype = "fp32", .threads = 1});
  const Captioner half(folder / "out", {.dtype = "fp16", .threads = 1});
  const Captioner bytes(folder / "out", {.dtype = "q8", .threads = 1});
  for (const char* scene : {"scene-10000000", "scene-10000003", "scene-10000006"}) {
    const fs::path image = test::source_path("models/demo/images/" + std::string(scene) + ".png");
    const std::string wanted = exact.caption(image).text;
    EXPECT_EQ(half.caption(image).text, wanted);
    EXPECT_EQ(bytes.caption(image).text, wanted);
  }
}

}  // namespace
}  // namespace lorapress
