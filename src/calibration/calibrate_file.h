// Calibration of any .onnx file that images can be run through.
#ifndef LORAPRESS_CALIBRATION_CALIBRATE_FILE_H_
#define LORAPRESS_CALIBRATION_CALIBRATE_FILE_H_

#include <filesystem>
#include <string>
#include <vector>

#include "calibration/calibrate.h"

namespace lorapress {

// `model` is the content of `file`, folded. Accepted are
//  - encoder and decoder of a transformers.js folder that press wrote: the whole folder captions
//    the images;
//  - a graph whose one input is an image, float32 [1 or dynamic, 3, height, width]: preprocessed by
//    the preprocessor_config.json beside the file or in the folder above. Without one, and with a
//    size in the graph, by kDefaultPreprocessing, with a note.
// Throws kUnsupported for every other graph, and for one whose main graph multiplies by no constant
// float32 matrix.
ActivationStats calibrate_file(const Model& model,
                               const std::filesystem::path& file,
                               const CalibrationOptions& options,
                               CalibrationReport& report);

}  // namespace lorapress

#endif  // LORAPRESS_CALIBRATION_CALIBRATE_FILE_H_
