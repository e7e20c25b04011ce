// Writes what a press planned: every graph in every dtype, the client's files and lorapress.json.
#ifndef LORAPRESS_API_PRESS_WRITE_H_
#define LORAPRESS_API_PRESS_WRITE_H_

#include <filesystem>
#include <string>
#include <vector>

#include "api/press_plan.h"

namespace lorapress {

// `folder` exists and is empty. Notes of calibration and of the dtypes go to `notes`. Memory is a few chunks for each
// thread, whatever the size of the model. Throws kIo, and what calibration throws.
void write_press(PressPlan& plan,
                 const std::filesystem::path& folder,
                 std::vector<std::string>& notes);

}  // namespace lorapress

#endif  // LORAPRESS_API_PRESS_WRITE_H_
