// Times the one graph of bundle "single" on image files, as `lorapress caption` times the loop over
// two graphs: ONNX Runtime's C++ interface, pixels prepared beforehand. Prints one JSON document.
//   single_captions MODEL_DIR FILE.onnx THREADS IMAGE...     FILE.onnx: relative to MODEL_DIR
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/fail.h"
#include "base/json.h"
#include "bundles/manifest.h"
#include "runtime/image/image.h"
#include "runtime/ort/ort.h"
#include "runtime/preprocess.h"

namespace lorapress {
namespace {

namespace fs = std::filesystem;

Json caption(const OrtSession& session, const Preprocessing& settings, const fs::path& image) {
  const std::vector<float> pixels = preprocess(load_image(image), settings);
  const OrtTensor input = OrtTensor::floats({1, 3, settings.height, settings.width}, pixels);
  const OrtTensor limit = OrtTensor::integers({}, std::vector<int64_t>{0});  // the folder's own
  const auto start = std::chrono::steady_clock::now();
  const std::vector<OrtTensor> outputs =
      session.run({{"pixel_values", &input}, {"max_new_tokens", &limit}}, {"generated_ids"});
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
  const auto bytes = outputs[0].bytes();
  std::vector<int64_t> ids(bytes.size() / sizeof(int64_t));
  std::memcpy(ids.data(), bytes.data(), bytes.size());
  return {{"image", image.string()}, {"ids", ids}, {"whole_ms", took.count()}};
}

int run(const std::vector<std::string>& arguments) {
  constexpr size_t kFirstImage = 3;
  if (arguments.size() <= kFirstImage) {
    std::fputs("usage: single_captions MODEL_DIR FILE.onnx THREADS IMAGE...\n", stderr);
    return 2;
  }
  const fs::path folder = arguments[0];
  const std::string& number = arguments[2];
  unsigned threads = 0;
  std::from_chars(number.data(), number.data() + number.size(), threads);
  const Manifest manifest = read_manifest(folder);
  const OrtSession session(folder / arguments[1], threads);
  Json captions = Json::array();
  for (size_t i = kFirstImage; i < arguments.size(); ++i) {
    captions.push_back(caption(session, manifest.preprocessing, arguments[i]));
  }
  std::puts(Json{{"captions", captions}}.dump().c_str());
  return 0;
}

}  // namespace
}  // namespace lorapress

int main(int argc, char** argv) {
  try {
    return lorapress::run({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    std::fprintf(stderr, "single_captions: %s\n", error.what());
    return 1;
  }
}
