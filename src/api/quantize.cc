#include "lorapress/quantize.h"

#include <algorithm>
#include <iterator>

#include "base/fail.h"
#include "base/staged_files.h"
#include "base/stopwatch.h"
#include "calibration/calibrate_file.h"
#include "graph/bodies.h"
#include "graph/check.h"
#include "graph/read_onnx.h"
#include "graph/write.h"
#include "rewrite/fold.h"
#include "schemes/outcome.h"
#include "schemes/scheme.h"

namespace lorapress {
namespace {

namespace fs = std::filesystem;

void protect(const fs::path& out, const std::vector<fs::path>& sources) {
  for (const fs::path& source : sources) {
    std::error_code ignored;
    if (fs::equivalent(out, source, ignored)) {
      fail(ErrorCode::kInvalidArgument, "{}: is what is read; choose another OUT", out.string());
    }
  }
}

void count_operators(const onnx::GraphProto& main, int64_t step, QuantizeReport& report) {
  for_each_graph(main, [&](const onnx::GraphProto& graph) {
    for (const auto& node : graph.node()) {
      report.operators[node.op_type()] += step;
    }
  });
}

class Quantizer {
 public:
  explicit Quantizer(const QuantizeOptions& options) : options_(options) {
    scheme(options.dtype);
    check_scheme_options(options.scheme);
    check_calibration(options.calibrate, options.scheme, {&options.dtype, 1});
    protect(options.out, {options.model});
  }

  QuantizeReport run() {
    StagedFiles staged(options_.out, options_.force);
    report_.notes = staged.notes();
    return staged.fill([&](const fs::path& path) {
      read();
      calibrate(path.parent_path());
      rewrite();
      const std::vector<FilePlan> plans = plan_onnx(model_, path, options_.external_data);
      for (const FilePlan& plan : plans) {
        protect(staged.place(plan.path()), sources_);
      }
      for (const WrittenFile& file : write_files(
               plans,
               {.hash = false, .threads = options_.threads, .progress = options_.progress})) {
        report_.files.push_back({file.path.filename().string(), file.bytes});
      }
      report_.write_seconds = watch_.lap();
      return report_;
    });
  }

 private:
  void read() {
    model_ = read_onnx(options_.model, &sources_, options_.freeze_inputs);
    for (const fs::path& file : sources_) {
      report_.bytes_in += fs::file_size(file);
    }
    count_operators(model_.proto.graph(), -1, report_);
    if (options_.dtype != "fp32") {  // fp32 leaves every weight unchanged
      fold_weights(model_);
    }
    report_.read_seconds = watch_.lap();
  }

  void calibrate(const fs::path& scratch) {
    if (options_.calibrate.empty()) {
      return;
    }
    CalibrationReport done;
    statistics_ = calibrate_file(model_,
                                 options_.model,
                                 {options_.calibrate, scratch, options_.threads, options_.progress},
                                 done);
    std::ranges::move(done.notes, std::back_inserter(report_.notes));
    report_.calibration_images = done.images;
    report_.calibrate_seconds = watch_.lap();
  }

  void rewrite() {
    CalibrationUse use;
    SchemeOutcome outcome;
    scheme(options_.dtype)
        .apply(model_,
               {options_.scheme,
                options_.calibrate.empty() ? nullptr : &statistics_,
                &report_.notes,
                options_.threads,
                &use,
                nullptr,
                &outcome});
    describe(outcome);
    report_.calibrated_weights = use.observed;
    report_.uncalibrated_weights = use.unobserved;
    model_.proto.mutable_graph()->clear_value_info();  // of the graph as it was
    check();
    count_operators(model_.proto.graph(), 1, report_);
    std::erase_if(report_.operators, [](const auto& row) { return row.second == 0; });
    report_.rewrite_seconds = watch_.lap();
  }

  // Notes matrices that were not quantized; throws where none was.
  void describe(const SchemeOutcome& outcome) {
    report_.quantized_matrices = outcome.quantized;
    report_.kept = outcome.kept;
    const std::string kept = describe_kept(outcome);
    if (outcome.form == "float16" && !outcome.changed) {
      report_.notes.emplace_back("nothing in it computes in float32 and could in float16");
    } else if (!outcome.changed && options_.dtype != "fp32") {
      refuse_or_note(fmt::format("nothing in it is quantized to {}: {}",
                                 outcome.form,
                                 kept.empty() ? "it has no constant matrix of 1 kB" : kept));
    } else if (!kept.empty()) {
      report_.notes.push_back(
          fmt::format("{} of {} matrices not in {}: {}",
                      outcome.kept.size(),
                      static_cast<int64_t>(outcome.kept.size()) + outcome.quantized,
                      outcome.form,
                      kept));
    }
  }

  void refuse_or_note(const std::string& why) {
    if (!options_.allow_unquantized) {
      fail(
          ErrorCode::kUnsupported,
          "{}: {}; choose another options.dtype, or pass options.allow_unquantized to write it all "
          "the same",
          options_.model.string(),
          why);
    }
    report_.notes.push_back(why);
  }

  // ONNX's strict checker refuses some graphs that nevertheless run. A graph that passes the checker
  // must still pass after quantization.
  void check() {
    try {
      check_model(model_);
    } catch (const Error&) {
      std::string input_alone;
      try {
        check_model(read_onnx(options_.model, nullptr, options_.freeze_inputs));
      } catch (const Error& error) {
        input_alone = error.what();
      }
      if (input_alone.empty()) {
        throw;
      }
      report_.notes.push_back("not checked, since the input does not pass itself: " + input_alone);
    }
  }

  const QuantizeOptions& options_;
  Stopwatch watch_;
  Model model_;
  ActivationStats statistics_;
  std::vector<fs::path> sources_;
  QuantizeReport report_;
};

}  // namespace

QuantizeReport quantize(const QuantizeOptions& options) {
  return with_file_errors([&] { return Quantizer(options).run(); });
}

}  // namespace lorapress
