#include "checkpoint/preprocessing.h"

#include <gtest/gtest.h>

#include "test_util.h"

namespace lorapress {
namespace {

using test::contains;
using test::message_of;
using test::TempFolder;

class FindPreprocessing : public ::testing::Test {
 protected:
  FindPreprocessing() {
    checkpoint_.vision = parse_vision_config(Json::object(), "x");
    checkpoint_.folders = {folder_ / "first", folder_ / "second"};
    for (const auto& folder : checkpoint_.folders) {
      std::filesystem::create_directory(folder);
    }
  }
  Preprocessing find(const Json& json) {
    const auto path = folder_ / "second" / "preprocessor_config.json";
    std::filesystem::remove(path);
    write_text(path, json.dump());
    return find_preprocessing(checkpoint_, notes_);
  }
  std::string refusal(ErrorCode code, const Json& json) {
    return message_of(code, [&] { find(json); });
  }

  TempFolder folder_;
  Checkpoint checkpoint_;
  std::vector<std::string> notes_;
};

using Triple = std::array<double, 3>;

TEST_F(FindPreprocessing, FallsBackToTheFamily) {
  const Preprocessing found = find_preprocessing(checkpoint_, notes_);
  EXPECT_EQ(found.image_processor_type, "SiglipImageProcessor");
  EXPECT_EQ(found.height, 224);
  EXPECT_EQ(found.width, 224);
  EXPECT_EQ(found.resample, "bicubic");
  EXPECT_DOUBLE_EQ(found.rescale_factor, 1.0 / 255.0);
  EXPECT_EQ(found.image_mean, (Triple{0.5, 0.5, 0.5}));
  EXPECT_EQ(found.image_std, (Triple{0.5, 0.5, 0.5}));
  ASSERT_EQ(notes_.size(), 1U);
  EXPECT_TRUE(contains(notes_[0], "SiglipImageProcessor")) << notes_[0];
}

TEST_F(FindPreprocessing, ReadsTheFile) {
  const Preprocessing found = find({{"image_processor_type", "Other"},
                                    {"size", {{"height", 224}, {"width", 224}}},
                                    {"resample", 2},
                                    {"rescale_factor", 0.25},
                                    {"image_mean", {0.1, 0.2, 0.3}},
                                    {"image_std", 0.5}});
  EXPECT_EQ(found.image_processor_type, "Other");
  EXPECT_EQ(found.resample, "bilinear");
  EXPECT_EQ(found.rescale_factor, 0.25);
  EXPECT_EQ(found.image_mean, (Triple{0.1, 0.2, 0.3}));
  EXPECT_EQ(found.image_std, (Triple{0.5, 0.5, 0.5}));
  EXPECT_TRUE(notes_.empty());
}

TEST_F(FindPreprocessing, FillsWhatTheFileLeavesOut) {
  const Preprocessing found = find(Json::object());
  EXPECT_EQ(found.resample, "bicubic");
  EXPECT_EQ(found.height, 224);
  EXPECT_EQ(found.image_std, (Triple{0.5, 0.5, 0.5}));
  EXPECT_EQ(find({{"size", 224}}).width, 224);  // as old feature extractors wrote it
  EXPECT_EQ(find({{"size", nullptr}}).width, 224);
}

TEST_F(FindPreprocessing, RefusesStepsThatNothingHereDoes) {
  for (const char* step : {"do_resize", "do_rescale", "do_normalize"}) {
    EXPECT_TRUE(contains(refusal(ErrorCode::kUnsupported, {{step, false}}), step));
  }
  refusal(ErrorCode::kUnsupported, {{"do_center_crop", true}});
  refusal(ErrorCode::kUnsupported, {{"resample", 1}});
  refusal(ErrorCode::kUnsupported, {{"size", {{"shortest_edge", 224}}}});
}

TEST_F(FindPreprocessing, RefusesAnotherSize) {
  refusal(ErrorCode::kMismatch, {{"size", {{"height", 384}, {"width", 384}}}});
  refusal(ErrorCode::kMismatch, {{"size", {{"height", 224}, {"width", 225}}}});
  refusal(ErrorCode::kMismatch, {{"size", 256}});
}

TEST_F(FindPreprocessing, RefusesBrokenNumbers) {
  refusal(ErrorCode::kInvalidFile, {{"size", {{"height", 224}}}});
  refusal(ErrorCode::kInvalidFile, {{"size", {{"height", "224"}, {"width", 224}}}});
  refusal(ErrorCode::kInvalidFile, {{"image_mean", {0.5, 0.5}}, {"image_std", 0.5}});
  refusal(ErrorCode::kInvalidFile, {{"image_mean", {0.5, 0.5, "x"}}, {"image_std", 0.5}});
  refusal(ErrorCode::kInvalidFile, {{"image_mean", 0.5}, {"image_std", {0.5, 0, 0.5}}});
  refusal(ErrorCode::kInvalidFile, {{"image_mean", 0.5}});
  refusal(ErrorCode::kInvalidFile, {{"rescale_factor", "1/255"}});
  refusal(ErrorCode::kInvalidFile, {{"resample", 2.5}});
  refusal(ErrorCode::kInvalidFile, Json::array({1}));
}

TEST_F(FindPreprocessing, WritesWhatItReads) {
  const Preprocessing settings =
      find({{"resample", 2}, {"image_mean", {0.1, 0.2, 0.3}}, {"image_std", {1, 2, 3}}});
  const Json file = preprocessor_config(settings);
  EXPECT_EQ(file["resample"], 2);
  const Preprocessing again = find(file);
  EXPECT_EQ(preprocessor_config(again), file);
  EXPECT_EQ(again.resample, "bilinear");
  EXPECT_EQ(again.image_std, (Triple{1.0, 2.0, 3.0}));
}

}  // namespace
}  // namespace lorapress
