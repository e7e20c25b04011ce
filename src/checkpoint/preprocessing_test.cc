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
  refusal(ErrorCode::kUnsupported, {{"do_pad", true}});
  EXPECT_NO_THROW(find({{"do_pad", true}, {"image_processor_type", "BlipImageProcessor"}}));
  refusal(ErrorCode::kUnsupported, {{"resample", 0}});
  refusal(ErrorCode::kUnsupported, {{"size", {{"shortest_edge", 224}}}});
}

TEST_F(FindPreprocessing, ReadsAShorterSideAndACrop) {
  const Json square{{"height", 224}, {"width", 224}};
  const Json file{
      {"size", {{"shortest_edge", 256}}}, {"do_center_crop", true}, {"crop_size", square}};
  const Preprocessing found = find(file);
  EXPECT_EQ(found.shortest_edge, 256);
  EXPECT_EQ(found.width, 224);
  EXPECT_EQ(find(preprocessor_config(found)).shortest_edge, 256);
  // One number is the shorter side where the processor is one of those that crop.
  const Json old{
      {"feature_extractor_type", "CLIPFeatureExtractor"}, {"size", 230}, {"crop_size", 224}};
  EXPECT_EQ(find(old).shortest_edge, 230);
  EXPECT_EQ(find(old).image_processor_type, "CLIPImageProcessor");
  EXPECT_EQ(find({{"image_processor_type", "CLIPImageProcessorFast"}}).image_processor_type,
            "CLIPImageProcessor");
  EXPECT_EQ(find({{"do_center_crop", true}, {"size", square}}).shortest_edge, 0);  // all of it
}

TEST_F(FindPreprocessing, RefusesCropsThatNothingHereDoes) {
  const Json square{{"height", 224}, {"width", 224}};
  const Json edge{{"shortest_edge", 224}};
  refusal(ErrorCode::kUnsupported, {{"size", edge}, {"do_center_crop", false}});
  refusal(ErrorCode::kUnsupported,
          {{"size", {{"shortest_edge", 223}}}, {"do_center_crop", true}, {"crop_size", square}});
  refusal(ErrorCode::kUnsupported,
          {{"size", {{"shortest_edge", 9000}}}, {"do_center_crop", true}, {"crop_size", square}});
  refusal(ErrorCode::kUnsupported,
          {{"size", {{"height", 256}, {"width", 256}}},
           {"do_center_crop", true},
           {"crop_size", square}});
}

TEST_F(FindPreprocessing, OfDinoV2SaysTheSizeOfItsImages) {
  checkpoint_.vision = parse_vision_config({{"model_type", "dinov2"}, {"image_size", 518}}, "x");
  Checkpoint other = checkpoint_;
  fit_image_size(checkpoint_);
  EXPECT_EQ(checkpoint_.vision->position_size, 518);
  EXPECT_EQ(checkpoint_.vision->tokens(), 257);
  const Preprocessing found = find_preprocessing(checkpoint_, notes_);
  EXPECT_EQ(found.shortest_edge, 256);
  EXPECT_EQ(found.width, 224);
  EXPECT_EQ(found.image_mean, (Triple{0.485, 0.456, 0.406}));
  write_text(folder_ / "first" / "preprocessor_config.json",
             R"({"size": {"height": 56, "width": 56}, "do_center_crop": false})");
  fit_image_size(other);
  EXPECT_EQ(other.vision->tokens(), 17);
  EXPECT_EQ(find_preprocessing(other, notes_).shortest_edge, 0);
}

TEST_F(FindPreprocessing, OfClipCropsByDefault) {
  checkpoint_.vision = parse_vision_config({{"model_type", "clip_vision_model"}}, "x");
  const Preprocessing found = find_preprocessing(checkpoint_, notes_);
  EXPECT_EQ(found.image_processor_type, "CLIPImageProcessor");
  EXPECT_EQ(found.shortest_edge, 224);
  EXPECT_EQ(found.image_std, (Triple{0.26862954, 0.26130258, 0.27577711}));
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
