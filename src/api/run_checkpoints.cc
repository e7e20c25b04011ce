#include "api/run_checkpoints.h"

#include <charconv>
#include <cmath>

#include "lorapress/error.h"

#include "base/fail.h"
#include "base/json.h"
#include "checkpoint/folder.h"
#include "checkpoint/safetensors.h"

namespace lorapress {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "checkpoint-";
constexpr const char* kState = "trainer_state.json";
constexpr const char* kAdapterConfig = "adapter_config.json";

std::optional<int64_t> step_of(const std::string& name) {
  if (!name.starts_with(kPrefix)) {
    return std::nullopt;
  }
  int64_t step = 0;
  const char* first = name.data() + kPrefix.size();
  const char* last = name.data() + name.size();
  const auto [end, error] = std::from_chars(first, last, step);
  const bool whole = error == std::errc() && end == last && step >= 0;
  return whole ? std::optional(step) : std::nullopt;
}

std::optional<double> logged(const Json& state, int64_t step, const std::string& metric) {
  std::optional<double> found;
  const auto history = state.find("log_history");
  if (history == state.end() || !history->is_array()) {
    return found;
  }
  for (const Json& entry : *history) {
    const bool here = entry.is_object() && entry.contains("step") && entry["step"].is_number() &&
                      entry["step"].get<double>() == static_cast<double>(step);
    const auto value = here ? entry.find(metric) : entry.end();
    if (here && value != entry.end() && value->is_number() && std::isfinite(value->get<double>())) {
      found = value->get<double>();
    }
  }
  return found;
}

}  // namespace

std::map<int64_t, fs::path> run_checkpoints(const fs::path& run) {
  std::error_code error;
  fs::directory_iterator entries(run, error);
  if (error) {
    fail(ErrorCode::kNotFound,
         "{}: {}, expected the folder of a training",
         run.string(),
         error.message());
  }
  std::map<int64_t, fs::path> found;
  for (const fs::directory_entry& entry : entries) {
    const auto step = step_of(entry.path().filename().string());
    if (step && entry.is_directory(error)) {
      found[*step] = entry.path();
    }
  }
  return found;
}

std::optional<RunCheckpoint> read_run_checkpoint(const fs::path& folder,
                                                 int64_t step,
                                                 const std::string& metric,
                                                 std::string& why) {
  try {
    const Json state = read_json(folder / kState);
    const auto at = json_get<int64_t>(state, "global_step", (folder / kState).string());
    if (at != step) {
      fail(ErrorCode::kMismatch,
           "{}: global_step {}, expected {}",
           (folder / kState).string(),
           at,
           step);
    }
    if (fs::exists(folder / kAdapterConfig) && !fs::exists(folder / "config.json")) {
      read_json(folder / kAdapterConfig);
      open_safetensors(folder / "adapter_model.safetensors");
    } else {
      read_json(folder / "config.json");
      open_model_folder(folder);
    }
    return RunCheckpoint{logged(state, step, metric)};
  } catch (const Error& error) {
    why = error.what();
    return std::nullopt;
  }
}

}  // namespace lorapress
