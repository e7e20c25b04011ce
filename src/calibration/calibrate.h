// Calibration: the input of each linear layer, measured by running a user's images.
#ifndef LORAPRESS_CALIBRATION_CALIBRATE_H_
#define LORAPRESS_CALIBRATION_CALIBRATE_H_

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "lorapress/progress.h"

#include "checkpoint/preprocessing.h"
#include "schemes/scheme.h"

namespace lorapress {

// The float32 graphs of a transformers.js bundle and the settings to run them.
struct CalibrationModel {
  const Model& encoder;
  const Model& decoder;
  Preprocessing preprocessing;
  int64_t decoder_start_token_id = 0;
  std::vector<int64_t> eos_token_ids;
  int64_t max_new_tokens = 30;
  bool observe_encoder = true;  // otherwise the encoder only runs
};

struct CalibrationOptions {
  std::filesystem::path images;   // a folder of images (is_image_name); other files are skipped
  std::filesystem::path scratch;  // an existing folder with room for the larger of both graphs and
                                  // for U of every layer (quant/error_feedback.h)
  unsigned threads = 0;
  ProgressFn progress;
  std::string engine =
      {};  // as CaptionerOptions::engine; what is measured depends on it in the last digits
};

struct CalibrationReport {
  int64_t images = 0;
  std::vector<std::string> notes;
};

// More images than this add little; the first by name are taken.
inline constexpr size_t kMaxCalibrationImages = 64;

// By weight name, for both graphs. Every image is encoded and captioned greedily; skipped images are
// noted. Throws kNotFound for a folder without a usable image.
ActivationStats calibrate(const CalibrationModel& model,
                          const CalibrationOptions& options,
                          CalibrationReport& report);

// The same for a graph whose one input is an image.
ActivationStats calibrate_image_graph(const Model& model,
                                      const std::string& input,
                                      const Preprocessing& preprocessing,
                                      const CalibrationOptions& options,
                                      CalibrationReport& report);

// Throws kInvalidArgument when a folder is given and no dtype that is written uses calibration.
void check_calibration(const std::filesystem::path& images,
                       const SchemeOptions& options,
                       std::span<const std::string> dtypes);

}  // namespace lorapress

#endif  // LORAPRESS_CALIBRATION_CALIBRATE_H_
