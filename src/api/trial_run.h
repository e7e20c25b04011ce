// How press() tests the folder that it wrote before the folder gets its name.
#ifndef LORAPRESS_API_TRIAL_RUN_H_
#define LORAPRESS_API_TRIAL_RUN_H_

#include <filesystem>
#include <optional>

#include "lorapress/caption.h"

namespace lorapress {

// Opens every graph of the default dtype in ONNX Runtime and captions a test card where the bundle
// has a whole way from pixels to text; a decoder alone generates a few tokens. Throws kRuntime for a graph that does not load or run.
std::optional<Caption> trial_run(const std::filesystem::path& folder);

}  // namespace lorapress

#endif  // LORAPRESS_API_TRIAL_RUN_H_
