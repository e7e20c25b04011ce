// The C ABI as a caller in C uses it. Under the address sanitizer (make sanitize) these tests also show that everything
// that is handed out can be given back and nothing else is kept.
#include "lorapress/c_api.h"

#include <fstream>
#include <gtest/gtest.h>
#include <iterator>
#include <nlohmann/json.hpp>
#include <random>

#include "lorapress/caption.h"
#include "lorapress/error.h"
#include "lorapress/press.h"

#include "golden_util.h"
#include "runtime/image/image.h"
#include "test_util.h"

namespace lorapress {
namespace {

using test::Golden;
using test::TempFolder;
namespace fs = std::filesystem;
using nlohmann::json;

// What a call hands out, given back at the end.
struct Text {
  Text() = default;
  Text(const Text&) = delete;
  ~Text() { lorapress_free_text(text); }
  [[nodiscard]] json parsed() const { return text == nullptr ? json() : json::parse(text); }
  char* text = nullptr;
};
struct Failure {
  Failure() = default;
  Failure(const Failure&) = delete;
  ~Failure() { lorapress_free_error(&error); }
  [[nodiscard]] std::string message() const {
    return error.message == nullptr ? "" : error.message;
  }
  lorapress_error error{LORAPRESS_RUNTIME, nullptr};
};

int32_t press_golden(const std::string& options, Failure& failure) {
  Text report;
  return lorapress_press(options.c_str(), nullptr, nullptr, &report.text, &failure.error);
}

std::vector<std::byte> bytes_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const auto* begin = reinterpret_cast<const std::byte*>(text.data());
  return {begin, begin + text.size()};
}

lorapress_image pixels_of(const uint8_t* data,
                          int64_t height,
                          int64_t width,
                          int64_t row,
                          int64_t column,
                          int64_t channel) {
  return {LORAPRESS_IMAGE_PIXELS, data, 0, height, width, row, column, channel};
}

// A folder that was pressed through the ABI, and a captioner of it.
class CApiCaptioner : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    made_ = new TempFolder;
    const std::string source = Golden("base").source(Golden("base").cases()[0]).checkpoint.string();
    const json options = {{"checkpoint", source}, {"out", (made_->path() / "out").string()}};
    Text report;
    Failure failure;
    ASSERT_EQ(
        lorapress_export(options.dump().c_str(), nullptr, nullptr, &report.text, &failure.error),
        LORAPRESS_OK)
        << failure.message();
    EXPECT_EQ(report.parsed()["bundle"], "transformers.js");
  }
  static void TearDownTestSuite() { delete made_; }

  void SetUp() override {
    Failure failure;
    ASSERT_EQ(lorapress_captioner_open((made_->path() / "out").string().c_str(),
                                       R"({"engine": "native", "threads": 1})",
                                       &captioner_,
                                       &failure.error),
              LORAPRESS_OK)
        << failure.message();
  }
  void TearDown() override { lorapress_captioner_close(captioner_); }

  // The list of captions, or the error's message.
  json caption(const std::vector<lorapress_image>& images, const char* options = nullptr) {
    Text captions;
    Failure failure;
    const int32_t code = lorapress_captioner_caption(
        captioner_, images.data(), images.size(), options, &captions.text, &failure.error);
    EXPECT_EQ(code, failure.error.code);
    EXPECT_EQ(code == LORAPRESS_OK, captions.text != nullptr);
    return code == LORAPRESS_OK ? captions.parsed() : json(failure.message());
  }

  static TempFolder* made_;
  lorapress_captioner* captioner_ = nullptr;
};
TempFolder* CApiCaptioner::made_ = nullptr;

TEST(CApi, CodesAreTheListOfErrors) {
  EXPECT_EQ(lorapress_abi_version(), LORAPRESS_ABI_VERSION);
  EXPECT_STREQ(lorapress_version(), LORAPRESS_VERSION);
  EXPECT_STREQ(lorapress_code_name(LORAPRESS_OK), "ok");
  EXPECT_STREQ(lorapress_code_name(LORAPRESS_CANCELLED), "cancelled");
  EXPECT_STREQ(lorapress_code_name(LORAPRESS_MISMATCH), "mismatch");
  for (const ErrorCodeRow& row : kErrorCodes) {
    EXPECT_EQ(lorapress_code_name(static_cast<int32_t>(row.code) + 1), row.name);
  }
  for (const int32_t none : {-1, 9, 99, 101}) {
    EXPECT_EQ(lorapress_code_name(none), nullptr);
  }
}

TEST(CApi, ErrorsAreOneLineWithTheNamesOfTheOptions) {
  struct Row {
    const char* options;
    int32_t code;
    const char* message;
  };
  const TempFolder folder;
  const std::string out = (folder.path() / "out").string();
  for (const auto& [options, code, message] : {
           Row{"", LORAPRESS_INVALID_ARGUMENT, "the call's options"},
           Row{"[]", LORAPRESS_INVALID_ARGUMENT, "are not a JSON object"},
           Row{"{}", LORAPRESS_INVALID_ARGUMENT, "checkpoint is required"},
           Row{R"({"checkpoint": 3})",
               LORAPRESS_INVALID_ARGUMENT,
               "checkpoint: expected text, found 3"},
           Row{R"({"checkpoint": "/nowhere"})", LORAPRESS_INVALID_ARGUMENT, "out is required"},
           Row{R"({"checkpoint": "/nowhere", "out": "OUT"})", LORAPRESS_NOT_FOUND, "/nowhere"},
           Row{R"({"checkpoint": "/nowhere\u0000x", "out": "OUT"})",
               LORAPRESS_INVALID_ARGUMENT,
               "a path with a zero byte behind \"/nowhere\""},
           Row{R"({"checkpoint": "/nowhere", "out": "OUT", "num_beam": 3})",
               LORAPRESS_INVALID_ARGUMENT,
               "num_beam is no option of this call (there are "},
           Row{R"({"checkpoint": "/nowhere", "out": "OUT", "threads": -1})",
               LORAPRESS_INVALID_ARGUMENT,
               "threads -1, expected 0 to 1024"},
           Row{R"({"checkpoint": "/nowhere", "out": "OUT", "force": "yes"})",
               LORAPRESS_INVALID_ARGUMENT,
               "force: expected true or false"},
           Row{R"({"checkpoint": "BASE", "out": "OUT", "dtype": "q4", "block_size": 7})",
               LORAPRESS_INVALID_ARGUMENT,
               "block_size 7, expected"},
           Row{R"({"checkpoint": "BASE", "out": "OUT", "adapter": [{"weight": 2}]})",
               LORAPRESS_INVALID_ARGUMENT,
               "adapter: expected folders"},
       }) {
    std::string given = options;
    const std::string base = Golden("base").source(Golden("base").cases()[0]).checkpoint.string();
    for (const auto& [word, path] : {std::pair{"OUT", out}, std::pair{"BASE", base}}) {
      if (const size_t at = given.find(word); at != std::string::npos) {
        given.replace(at, std::string_view(word).size(), path);
      }
    }
    Failure failure;
    EXPECT_EQ(press_golden(given, failure), code) << given;
    EXPECT_EQ(failure.error.code, code);
    EXPECT_NE(failure.message().find(message), std::string::npos) << failure.message();
    EXPECT_EQ(failure.message().find('\n'), std::string::npos);
    EXPECT_EQ(failure.message().find("options."), std::string::npos) << failure.message();
    EXPECT_FALSE(fs::exists(out));
  }
  EXPECT_EQ(lorapress_inspect(nullptr, nullptr, nullptr), LORAPRESS_INVALID_ARGUMENT);
}

TEST(CApi, ACallbackCancelsAndNothingStays) {
  const TempFolder folder;
  const std::string base = Golden("base").source(Golden("base").cases()[0]).checkpoint.string();
  const json options = {{"checkpoint", base}, {"out", (folder.path() / "out").string()}};
  int calls = 0;
  const auto cancel = [](void* user, const char* phase, uint64_t done, uint64_t total) -> int32_t {
    EXPECT_STRNE(phase, "");
    EXPECT_LE(done, total);
    return ++*static_cast<int*>(user) == 2 ? 1 : 0;
  };
  Text report;
  Failure failure;
  EXPECT_EQ(lorapress_press(options.dump().c_str(), cancel, &calls, &report.text, &failure.error),
            LORAPRESS_CANCELLED);
  EXPECT_EQ(failure.error.code, LORAPRESS_CANCELLED);
  EXPECT_EQ(report.text, nullptr);
  EXPECT_EQ(calls, 2);
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

TEST_F(CApiCaptioner, GivesTheCaptionsOfTheLibraryForEveryKindOfImage) {
  const Golden golden("base");
  const fs::path path = golden.image(0);
  CaptionerOptions options;
  options.engine = "native";
  options.threads = 1;
  const Caption expected = Captioner(made_->path() / "out", options).caption(path);

  const std::string name = path.string();
  const std::vector<std::byte> bytes = bytes_of(path);
  const Image image = load_image(path);
  const int64_t height = image.height;
  const int64_t width = image.width;
  const uint8_t* rgb = image.rgb.data();
  std::vector<uint8_t> upside_down;  // BGRA, the last row first
  std::vector<uint8_t> planes(image.rgb.size());
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) {
      const uint8_t* from = rgb + ((height - 1 - y) * width + x) * 3;
      upside_down.insert(upside_down.end(), {from[2], from[1], from[0], 77});
      for (int64_t channel = 0; channel < 3; ++channel) {
        planes[static_cast<size_t>((channel * height + y) * width + x)] =
            rgb[(y * width + x) * 3 + channel];
      }
    }
  }
  const json captions = caption(
      {{LORAPRESS_IMAGE_PATH, name.data(), name.size(), 0, 0, 0, 0, 0},
       {LORAPRESS_IMAGE_BYTES, bytes.data(), bytes.size(), 0, 0, 0, 0, 0},
       pixels_of(rgb, height, width, 3 * width, 3, 1),
       pixels_of(planes.data(), height, width, width, 1, height * width),
       pixels_of(
           upside_down.data() + (height - 1) * width * 4 + 2, height, width, -4 * width, 4, -1)});
  ASSERT_EQ(captions.size(), 5U);
  for (const json& one : captions) {
    EXPECT_EQ(one.at("ids"), json(expected.ids)) << one;
    EXPECT_EQ(one.at("text"), expected.text);
  }
}

TEST_F(CApiCaptioner, AnImageThatIsNoneIsNoErrorOfTheCall) {
  const std::string name = Golden("base").image(0).string();
  const uint8_t pixel[3] = {};
  const json captions = caption({{LORAPRESS_IMAGE_BYTES, "none", 4, 0, 0, 0, 0, 0},
                                 {LORAPRESS_IMAGE_BYTES, nullptr, 0, 0, 0, 0, 0, 0},
                                 {LORAPRESS_IMAGE_PATH, "/nowhere\npng", 12, 0, 0, 0, 0, 0},
                                 pixels_of(pixel, 0, 1, 3, 3, 1),
                                 pixels_of(pixel, int64_t{1} << 40, int64_t{1} << 40, 3, 3, 1),
                                 {LORAPRESS_IMAGE_PATH, name.data(), name.size(), 0, 0, 0, 0, 0}});
  ASSERT_EQ(captions.size(), 6U);
  EXPECT_EQ(captions[0]["error"]["code"], "unsupported") << captions[0];
  EXPECT_EQ(captions[2]["error"]["code"], "not_found") << captions[2];
  EXPECT_EQ(captions[3]["error"]["code"], "invalid_argument") << captions[3];
  EXPECT_EQ(captions[4]["error"]["code"], "invalid_argument") << captions[4];
  for (size_t i = 0; i < 5; ++i) {
    ASSERT_TRUE(captions[i].contains("error")) << captions[i];
    const std::string message = captions[i]["error"]["message"];
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }
  EXPECT_FALSE(captions[5].contains("error")) << captions[5];
  EXPECT_EQ(caption({}), json::array());
}

TEST_F(CApiCaptioner, OptionsOfACallAreChecked) {
  const uint8_t pixel[3] = {};
  const lorapress_image image = pixels_of(pixel, 1, 1, 3, 3, 1);
  EXPECT_EQ(caption({image}, R"({"max_new_tokens": 2})")[0]["ids"].size(), 2U);
  for (const auto& [options, message] :
       {std::pair{R"({"num_beams": 99})", "\"num_beams\" is 99, expected 1 to 64"},
        std::pair{R"({"num_beams": 2, "temperature": 0.5})", "num_beams 2 with sampling"},
        std::pair{R"({"suppress_tokens": [123456789]})", "token"},
        std::pair{R"({"seed": -1})", "seed -1, expected 0 to 4294967295"},
        std::pair{R"({"batch": 0})", "batch 0, expected 1 to 256"},
        std::pair{R"({"threads": 2})", "threads is no option of this call"}}) {
    const json answer = caption({image}, options);
    ASSERT_TRUE(answer.is_string()) << answer;
    EXPECT_NE(answer.get<std::string>().find(message), std::string::npos) << answer;
  }
  EXPECT_TRUE(caption({{7, pixel, 3, 1, 1, 3, 3, 1}}).is_string());
  EXPECT_EQ(caption(std::vector<lorapress_image>(9, image), R"({"max_new_tokens": 2, "batch": 4})")
                .size(),
            9U);
  EXPECT_EQ(lorapress_captioner_caption(nullptr, nullptr, 0, nullptr, nullptr, nullptr),
            LORAPRESS_INVALID_ARGUMENT);
}

// Options with bytes changed, cut and doubled: every one is a caption or one line that says what is wrong.
TEST_F(CApiCaptioner, BrokenOptionsNeverHurt) {
  const uint8_t pixel[3] = {};
  const std::string whole =
      R"({"max_new_tokens": 2, "num_beams": 1, "prompt": "a", "bad_words_ids": [[1, 2]], "top_p": 0.9, "seed": 1})";
  std::mt19937 random(7);
  const auto below = [&](size_t most) { return random() % most; };
  for (int i = 0; i < 300; ++i) {
    std::string text = whole;
    for (size_t changes = 1 + below(3); changes > 0; --changes) {
      const size_t at = below(text.size());
      switch (below(3)) {
        case 0:
          text[at] = static_cast<char>(1 + below(255));
          break;
        case 1:
          text.erase(at, 1 + below(4));
          break;
        default:
          text.insert(at, text.substr(below(text.size()), 1 + below(6)));
      }
    }
    const json answer = caption({pixels_of(pixel, 1, 1, 3, 3, 1)}, text.c_str());
    EXPECT_TRUE(answer.is_array() || !answer.get<std::string>().empty()) << text;
  }
}

}  // namespace
}  // namespace lorapress
