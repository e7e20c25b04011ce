#include "runtime/preprocess.h"

#include <array>
#include <cstring>

#include "runtime/image/image_test_util.h"

namespace lorapress {
namespace {

using image_test::golden;
using image_test::goldens;
using image_test::message_of;

std::vector<float> read_tensor(const std::string& name) {
  const std::string file = read_text(golden("processed.safetensors"));
  uint64_t header_size = 0;
  std::memcpy(&header_size, file.data(), sizeof(header_size));
  const Json header = Json::parse(file.substr(sizeof(header_size), header_size));
  const auto begin = header.at(name).at("data_offsets").at(0).get<size_t>();
  const auto end = header.at(name).at("data_offsets").at(1).get<size_t>();
  std::vector<float> values((end - begin) / sizeof(float));
  std::memcpy(values.data(), file.data() + sizeof(header_size) + header_size + begin, end - begin);
  return values;
}

// Each row of the goldens as preprocess() reads it from a preprocessor_config.json.
TEST(Preprocess, EqualsTransformers) {
  size_t cropped = 0;
  for (const Json& row : goldens()["processed"]) {
    const auto size = row["size"].get<int64_t>();
    const Preprocessing settings{"",
                                 size,
                                 size,
                                 row["resample"] == 2 ? "bilinear" : "bicubic",
                                 row["rescale_factor"].get<double>(),
                                 row["image_mean"].get<std::array<double, 3>>(),
                                 row["image_std"].get<std::array<double, 3>>(),
                                 row["edge"].get<int64_t>()};
    cropped += row["edge"] == 0 ? 0 : 1;
    EXPECT_EQ(preprocess(load_image(golden(row["file"])), settings), read_tensor(row["tensor"]))
        << row.dump();
  }
  EXPECT_GE(cropped, 5U);
}

TEST(Preprocess, RefusesAnImageThatWouldBecomeEndless) {
  Preprocessing settings = kDefaultPreprocessing;
  settings.width = settings.height = settings.shortest_edge = 8192;
  const Image line{1, 4096, std::vector<uint8_t>(4096 * 3)};
  message_of(ErrorCode::kUnsupported, [&] { preprocess(line, settings); });
}

}  // namespace
}  // namespace lorapress
