// The checkpoint-N folders of a training run, as transformers' Trainer writes them.
#ifndef LORAPRESS_API_RUN_CHECKPOINTS_H_
#define LORAPRESS_API_RUN_CHECKPOINTS_H_

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>

namespace lorapress {

// Step -> folder of every name checkpoint-N, whole or not. Throws kNotFound without the folder.
std::map<int64_t, std::filesystem::path> run_checkpoints(const std::filesystem::path& run);

struct RunCheckpoint {
  std::optional<double> metric;  // the last one logged at this step
};

// Absent while the folder is not whole, that is, until config.json (adapter_config.json in a PEFT
// folder) and trainer_state.json are there and parse, global_step is `step`, and all weights open
// with the lengths their headers say.
// transformers' Trainer._save_checkpoint writes trainer_state.json last. `why` tells what is
// missing.
std::optional<RunCheckpoint> read_run_checkpoint(const std::filesystem::path& folder,
                                                 int64_t step,
                                                 const std::string& metric,
                                                 std::string& why);

}  // namespace lorapress

#endif  // LORAPRESS_API_RUN_CHECKPOINTS_H_
