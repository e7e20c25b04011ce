// Calibration of any .onnx file that images can be run through.
#ifndef LORAPRESS_CALIBRATION_CALIBRATE_FILE_H_
#define LORAPRESS_CALIBRATION_CALIBRATE_FILE_H_

#include <filesystem>
#include <string>
#include <vector>

#include "calibration/calibrate.h"

namespace lorapress {

// `model` is what `file` holds, folded. Taken are
//  - encoder and decoder of a folder that press wrote as transformers.js: the whole folder
//  captions;
//  - a graph whose one input is an image, float32 [1 or dynamic, 3, height, width]: images go in by
//    the preprocessor_config.json beside the file or in the folder above. Without one, and with a
//    size in the graph, by kDefaultPreprocessing, which a note says.
// Throws kUnsupported for every other graph, and for one whose main graph multiplies by no constant
// float32 matrix.
ActivationStats calibrate_file(const Model& model,
                               const std::filesystem::path& file,
                               const CalibrationOptions& options,
                               CalibrationReport& report);

}  // namespace lorapress

#endif  // LORAPRESS_CALIBRATION_CALIBRATE_FILE_H_
