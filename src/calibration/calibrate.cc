#include "calibration/calibrate.h"

#include <algorithm>
#include <functional>
#include <ranges>

#include "base/fail.h"
#include "calibration/observed_session.h"
#include "graph/ports.h"
#include "runtime/generation/sampling.h"
#include "runtime/graphs/client_calls.h"
#include "runtime/preprocess.h"

namespace lorapress {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> image_files(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.is_regular_file()) {
      files.push_back(entry.path());
    }
  }
  std::ranges::sort(files);
  return files;
}

// The readable images of a folder, sorted by name; no more than are used.
class Images {
 public:
  Images(const CalibrationOptions& options, CalibrationReport& report) {
    size_t passed_over = 0;
    for (const fs::path& file : image_files(options.images)) {
      if (files_.size() == kMaxCalibrationImages) {
        break;
      }
      try {
        load_image(file);
        files_.push_back(file);
      } catch (const Error&) {
        ++passed_over;
      }
    }
    if (files_.empty()) {
      fail(ErrorCode::kNotFound,
           "{}: no image to calibrate with among {} files; expected JPEG, PNG, WebP, GIF, BMP or "
           "TIFF",
           options.images.string(),
           passed_over);
    }
    report.images = std::ssize(files_);
    report.notes.push_back(fmt::format(
        "calibrated with {} images of {}{}",
        files_.size(),
        options.images.string(),
        passed_over == 0 ? "" : fmt::format(" ({} other files passed over)", passed_over)));
  }

  [[nodiscard]] size_t size() const { return files_.size(); }
  [[nodiscard]] std::vector<float> pixels(size_t index, const Preprocessing& settings) const {
    return preprocess(load_image(files_[index]), settings);
  }

 private:
  std::vector<fs::path> files_;
};

// Runs `each` for every image, once for each group of layers.
void observe(ObservedSession& session,
             size_t images,
             const CalibrationOptions& options,
             ActivationStats& stats,
             const std::function<void(size_t group, size_t image)>& each) {
  for (size_t group = 0; group < session.groups(); ++group) {
    session.begin(group);
    for (size_t image = 0; image < images; ++image) {
      each(group, image);
      if (options.progress) {
        options.progress({"calibrate", group * images + image + 1, session.groups() * images});
      }
    }
    session.finish(stats);
  }
}

std::vector<GraphTensor> encode_images(ObservedSession& encoder,
                                       const Images& images,
                                       const Preprocessing& settings,
                                       const CalibrationOptions& options,
                                       ActivationStats& stats) {
  std::vector<GraphTensor> encoded;
  observe(encoder, images.size(), options, stats, [&](size_t group, size_t image) {
    const std::vector<float> pixels = images.pixels(image, settings);
    const GraphTensor input = GraphTensor::floats({1, 3, settings.height, settings.width}, pixels);
    std::vector<GraphTensor> outputs = encoder.run({{kPixelValues, &input}}, {kLastHiddenState});
    if (group == 0) {
      encoded.push_back(std::move(outputs[0]));
    }
  });
  return encoded;
}

// A greedy caption, run only for the inputs of the layers; the text is not used. Not through
// runtime/engine/decoder.h: the observers are outputs of each call.
void caption(ObservedSession& decoder, const CalibrationModel& model, const GraphTensor& image) {
  const ClientCalls calls(decoder.session());
  std::vector<GraphTensor> cache = calls.empty_cache(1);
  int64_t token = model.decoder_start_token_id;
  for (int64_t step = 0; step < model.max_new_tokens; ++step) {
    const GraphTensor ids = GraphTensor::integers({1, 1}, {&token, 1});
    ClientCalls::Step made = calls.step(decoder, ids, &image, cache);
    token = argmax(made.logits.as_floats());
    if (std::ranges::find(model.eos_token_ids, token) != model.eos_token_ids.end()) {
      return;
    }
    cache = std::move(made.cache);
  }
}

}  // namespace

ActivationStats calibrate(const CalibrationModel& model,
                          const CalibrationOptions& options,
                          CalibrationReport& report) {
  ActivationStats stats;
  const Images images(options, report);
  std::vector<GraphTensor> encoded;
  {  // one session at a time: each holds its graph in memory
    ObservedSession encoder(model.encoder, model.observe_encoder, options);
    encoded = encode_images(encoder, images, model.preprocessing, options, stats);
  }
  ObservedSession decoder(model.decoder, true, options);
  observe(decoder, images.size(), options, stats, [&](size_t /*group*/, size_t image) {
    caption(decoder, model, encoded[image]);
  });
  return stats;
}

ActivationStats calibrate_image_graph(const Model& model,
                                      const std::string& input,
                                      const Preprocessing& preprocessing,
                                      const CalibrationOptions& options,
                                      CalibrationReport& report) {
  ActivationStats stats;
  const Images images(options, report);
  ObservedSession session(model, true, options);
  observe(session, images.size(), options, stats, [&](size_t /*group*/, size_t image) {
    const std::vector<float> pixels = images.pixels(image, preprocessing);
    const GraphTensor tensor =
        GraphTensor::floats({1, 3, preprocessing.height, preprocessing.width}, pixels);
    session.run({{input, &tensor}}, {});
  });
  return stats;
}

void check_calibration(const fs::path& images,
                       const SchemeOptions& options,
                       std::span<const std::string> dtypes) {
  if (images.empty()) {
    return;
  }
  if (options.rounding != Rounding::kSearch) {
    fail(ErrorCode::kInvalidArgument,
         "options.calibrate needs options.rounding search, it is nearest");
  }
  if (std::ranges::none_of(dtypes, [](const auto& dtype) { return scheme(dtype).calibrates; })) {
    fail(ErrorCode::kInvalidArgument,
         "options.calibrate applies to {}, options.dtype is {}",
         fmt::join(schemes() | std::views::filter(&Scheme::calibrates) |
                       std::views::transform(&Scheme::name),
                   " and "),
         fmt::join(dtypes, ","));
  }
  if (!fs::is_directory(images)) {
    fail(ErrorCode::kNotFound,
         "{}: not a folder; options.calibrate takes one of images",
         images.string());
  }
}

}  // namespace lorapress
