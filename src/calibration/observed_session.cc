#include "calibration/observed_session.h"

#include <algorithm>

#include "base/fail.h"
#include "base/threads.h"
#include "graph/write.h"
#include "rewrite/patchify.h"
#include "runtime/engines.h"

namespace lorapress {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMostMoments = size_t{256} << 20;  // bytes of a group, or of one larger layer

}  // namespace

ObservedSession::ObservedSession(Model model, bool observe, const CalibrationOptions& options)
    : scratch_(options.scratch), threads_(options.threads) {
  if (observe) {
    convolutions_to_products(model);  // as the schemes do
    observed_ = observe_linear_inputs(model);
    if (observed_.empty()) {
      fail(ErrorCode::kUnsupported,
           "nothing to calibrate: no MatMul or Gemm of the main graph reads a constant float32 "
           "matrix");
    }
  }
  try {
    write(model);
    model = {};
    factors_ = std::make_shared<ScratchFile>(scratch_);
    session_ = open_graph(options.engine, files_.at(0), threads_).session;
  } catch (...) {  // no destructor runs when the constructor throws
    for (const fs::path& file : files_) {
      std::error_code ignored;
      fs::remove(file, ignored);
    }
    throw;
  }
  divide_into_groups();
}

ObservedSession::~ObservedSession() {
  session_.reset();
  for (const fs::path& file : files_) {
    std::error_code ignored;
    fs::remove(file, ignored);
  }
}

void ObservedSession::write(const Model& model) {
  const std::vector<FilePlan> plans = plan_onnx(model, scratch_ / "calibrate.onnx", false);
  for (const FilePlan& plan : plans) {
    files_.push_back(plan.path());
  }
  write_files(plans, {.hash = false, .threads = threads_, .progress = {}});
}

void ObservedSession::divide_into_groups() {
  if (observed_.empty()) {
    groups_.emplace_back();
  }
  std::map<std::string, ObservedInput> inputs;
  for (const auto& [weight, input] : observed_) {
    inputs[input.output] = input;
  }
  size_t bytes = kMostMoments;
  for (const auto& [name, input] : inputs) {
    const size_t more = input.size * input.size * sizeof(float);
    if (bytes + more > kMostMoments) {
      groups_.emplace_back();
      bytes = 0;
    }
    groups_.back().push_back(input);
    bytes += more;
  }
}

void ObservedSession::begin(size_t group) {
  group_ = group;
  moments_.clear();
  for (const ObservedInput& input : groups_.at(group)) {
    moments_.emplace_back(input.size);
  }
}

std::vector<GraphTensor> ObservedSession::run(const std::vector<GraphFeed>& feeds,
                                              std::vector<std::string> wanted) {
  const size_t count = wanted.size();
  for (const ObservedInput& input : groups_.at(group_)) {
    wanted.push_back(input.output);
  }
  std::vector<GraphTensor> outputs = session_->run(feeds, wanted);
  parallel_for(moments_.size(), threads_, [&](size_t index, unsigned /*worker*/) {
    moments_[index].add(outputs[count + index].as_floats());
  });
  outputs.erase(outputs.begin() + static_cast<ptrdiff_t>(count), outputs.end());
  return outputs;
}

void ObservedSession::finish(ActivationStats& stats) {
  std::vector<std::shared_ptr<const ErrorFeedback>> made(moments_.size());
  parallel_for(moments_.size(), threads_, [&](size_t index, unsigned /*worker*/) {
    made[index] = ErrorFeedback::of(moments_[index], factors_);
  });
  moments_.clear();
  const std::vector<ObservedInput>& group = groups_.at(group_);
  for (const auto& [weight, input] : observed_) {
    const auto at = std::ranges::find(group, input.output, &ObservedInput::output);
    if (at != group.end() && made[static_cast<size_t>(at - group.begin())]) {
      stats[weight] = made[static_cast<size_t>(at - group.begin())];
    }
  }
}

}  // namespace lorapress
