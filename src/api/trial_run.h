// How press() tests the folder that it wrote before the folder gets its name.
#ifndef LORAPRESS_API_TRIAL_RUN_H_
#define LORAPRESS_API_TRIAL_RUN_H_

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "lorapress/caption.h"

namespace lorapress {

struct TrialOptions {
  std::string engine = {};  // as CaptionerOptions::engine
  // About how much of the weights is in memory at a time.
  uint64_t most_weights = uint64_t{48} << 20;
};

struct TrialResult {
  std::optional<Caption>
      caption;        // where the bundle has a whole way from pixels, or a prompt, to text
  std::string dtype;  // that ran
  std::vector<std::string> notes;  // what was not run, or not by the first engine tried
};

// Checks every graph of the folder without its weights, and runs one dtype on a test card, or a decoder alone on a
// prompt: the default where its weights fit into the memory, else the smallest. One that does not fit either runs piece by
// piece (engine/pieces.h) to its second token. Throws kInvalidFile and kRuntime for a graph that does not load or run.
TrialResult trial_run(const std::filesystem::path& folder, const TrialOptions& options = {});

}  // namespace lorapress

#endif  // LORAPRESS_API_TRIAL_RUN_H_
