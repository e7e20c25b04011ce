// Preprocessing inside the graph, against Pillow and transformers; and the graph that only steps.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "blocks/pillow_resize.h"
#include "graph/check.h"
#include "graph/model.h"
#include "graph/write.h"
#include "runtime/image/image_test_util.h"
#include "single_util.h"

namespace lorapress {
namespace {

using test::Golden;
using test::Ids;
using test::Single;
using test::TempFolder;
namespace fs = std::filesystem;

OrtTensor bytes_of(Image& image) {
  return OrtTensor::view(
      DType::kU8, {image.height, image.width, 3}, std::as_writable_bytes(std::span(image.rgb)));
}

// image uint8 -> levels [3, height, width], as a session of its own.
OrtSession resizer(const fs::path& path, int64_t height, int64_t width, ResizeFilter filter) {
  Graph graph("resizer", 17);
  const Builder b{graph, OpDialect::kStandard};
  const Value image = graph.input("image", DType::kU8, {"height", "width", 3});
  graph.output(
      pillow_resize(b, "/resize", image, height, width, filter), "levels", {3, height, width});
  const Model model = to_model(graph);
  check_model(model);
  write_files(plan_onnx(model, path, false), {});
  return {path, 1};
}

// [3, height, width] float levels -> an image.
Image to_image(std::span<const float> levels, int64_t width, int64_t height) {
  Image image{width, height, std::vector<uint8_t>(levels.size())};
  const auto plane = static_cast<size_t>(width * height);
  for (size_t i = 0; i < levels.size(); ++i) {
    image.rgb[i % plane * 3 + i / plane] = static_cast<uint8_t>(levels[i]);
    EXPECT_EQ(static_cast<float>(image.rgb[i % plane * 3 + i / plane]), levels[i]) << "not whole";
  }
  return image;
}

TEST(PillowResize, EqualsPillow) {
  const TempFolder folder;
  std::map<std::string, OrtSession> sessions;
  size_t values = 0;
  for (const Json& row : image_test::goldens()["images"]) {
    Image source = image_test::read_expected(row["decoded"]);
    for (const Json& want : row["resized"]) {
      const auto [w, h] = std::pair{want["w"].get<int64_t>(), want["h"].get<int64_t>()};
      const std::string filter = want["filter"];
      const std::string name = fmt::format("{}x{}_{}.onnx", w, h, filter);
      auto session = sessions.find(name);
      if (session == sessions.end()) {
        const ResizeFilter kind =
            filter == "bilinear" ? ResizeFilter::kBilinear : ResizeFilter::kBicubic;
        session = sessions.emplace(name, resizer(folder / name, h, w, kind)).first;
      }
      const OrtTensor image = bytes_of(source);
      const std::vector<OrtTensor> outputs = session->second.run({{"image", &image}}, {"levels"});
      const Image got = to_image(outputs[0].as_floats(), w, h);
      const Image expected = image_test::read_expected(want["file"]);
      EXPECT_EQ(image_test::difference(got, expected), 0) << row["file"] << want.dump();
      values += got.rgb.size();
    }
  }
  EXPECT_GT(values, 1'000'000U);
}

PressReport press_single(const Golden& golden, PressOptions options, const fs::path& out) {
  options.bundle = "single";
  options.out = out;
  options.source = golden.source(golden.cases().at(0));
  return press(options);
}

TEST(Uint8Input, CaptionsAsTheProgramsOwnPreprocessingDoes) {
  for (const std::string name : {"base", "odd"}) {
    for (const OpDialect ops : {OpDialect::kOrt, OpDialect::kStandard}) {
      const Golden golden(name);
      const int64_t most = golden.json.at("max_new_tokens");
      const TempFolder folder;
      PressOptions options;
      options.ops = ops;
      press_single(golden, options, folder / "pixels");
      options.uint8_input = true;
      const PressReport report = press_single(golden, options, folder / "bytes");
      ASSERT_TRUE(report.caption);
      const Single bytes(folder / "bytes");
      for (const Json& caption : golden.cases().at(0).at("captions")) {
        Image image = load_image(golden.image(caption.at("image")));
        const OrtTensor tensor = bytes_of(image);
        EXPECT_EQ(bytes.run({"image", &tensor}, most).at(0), caption.at("ids").get<Ids>());
      }
      const Single pixels(folder / "pixels");
      const Preprocessing& settings = pixels.manifest().preprocessing;
      constexpr std::array<float, 3> kHalf{0.5F, 0.5F, 0.5F};
      Image image = load_image(image_test::golden("jpeg_420.jpg"));
      const std::vector<float> expected =
          normalise(resize(image, settings.width, settings.height, Resample::kBicubic),
                    1.0 / 255,
                    kHalf,
                    kHalf);
      const OrtTensor tensor = bytes_of(image);
      EXPECT_EQ(bytes.run({"image", &tensor}, most), pixels.caption({expected}, most));
    }
  }
}

// The most likely tokens of generation without a cache, and the logits on the way.
TEST(Step, GivesTransformersLogits) {
  for (const std::string name : {"base", "odd"}) {
    for (const OpDialect ops : {OpDialect::kOrt, OpDialect::kStandard}) {
      const Golden golden(name);
      const TempFolder folder;
      PressOptions options;
      options.ops = ops;
      options.step = true;
      const PressReport report = press_single(golden, options, folder / "out");
      EXPECT_FALSE(report.caption);
      const Manifest manifest = read_manifest(folder / "out");
      const OrtSession session(folder / "out" / manifest.graphs.at("fp32").at("step"), 1);
      const Preprocessing& size = manifest.preprocessing;
      const OrtTensor pixels =
          OrtTensor::floats({1, 3, size.height, size.width}, golden.row("pixel_values", 0));
      const Ids wanted = golden.cases().at(0).at("captions").at(0).at("ids");
      const auto steps = static_cast<size_t>(golden.tensors.at("step_logits")->rows());
      for (size_t step = 0; step < steps; ++step) {
        const std::span<const int64_t> so_far = std::span(wanted).first(step);
        const OrtTensor ids = OrtTensor::integers({1, std::ssize(so_far)}, so_far);
        const std::vector<OrtTensor> outputs =
            session.run({{"pixel_values", &pixels}, {"input_ids", &ids}}, {"logits"});
        const auto logits = outputs[0].as_floats();
        const std::vector<float> expected = golden.row("step_logits", step);
        EXPECT_LE(test::largest_difference({logits.begin(), logits.end()},
                                           {expected.begin(), expected.end()}),
                  1e-4)
            << "step " << step;
        EXPECT_EQ(std::ranges::max_element(logits) - logits.begin(), wanted.at(step));
      }
    }
  }
}

TEST(Step, TakesBytesToo) {
  const Golden golden("base");
  const TempFolder folder;
  PressOptions options;
  options.step = true;
  options.uint8_input = true;
  press_single(golden, options, folder / "out");
  const OrtSession session(folder / "out/onnx/model.onnx", 1);
  Image image = load_image(golden.image(0));
  const OrtTensor tensor = bytes_of(image);
  const OrtTensor ids = OrtTensor::integers({1, 0}, {});
  const std::vector<OrtTensor> outputs =
      session.run({{"image", &tensor}, {"input_ids", &ids}}, {"logits"});
  const auto logits = outputs[0].as_floats();
  EXPECT_EQ(std::ranges::max_element(logits) - logits.begin(),
            golden.cases().at(0).at("captions").at(0).at("ids").at(0).get<int64_t>());
}

}  // namespace
}  // namespace lorapress
