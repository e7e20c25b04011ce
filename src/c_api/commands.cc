#include "lorapress/c_api.h"
#include "lorapress/hub.h"
#include "lorapress/inspect.h"
#include "lorapress/report_json.h"

#include "base/fail.h"
#include "c_api/boundary.h"

namespace lorapress::c_api {
namespace {

using Report = std::function<std::string(Options& options, const ProgressFn& progress)>;

int32_t command(const char* options,
                lorapress_progress_fn progress,
                void* user,
                char** report,
                lorapress_error* error,
                const Report& run) {
  return guarded(options, error, [&](Options& parsed) {
    require_pointer(report, "report");
    *report = hand_out(run(parsed, to_progress(progress, user)));
  });
}

// Brings what is named hf:ORG/NAME into the hub's cache; returns notes for the report.
std::vector<std::string> fetch_sources(Source& source, const ProgressFn& progress) {
  std::vector<std::string> notes;
  const auto fetch = [&](std::filesystem::path& path) {
    if (is_hub_model(path.string())) {
      HubReport fetched = fetch_from_hub({path.string(), {}}, progress);
      path = fetched.folder;
      notes.insert(notes.end(), fetched.notes.begin(), fetched.notes.end());
    }
  };
  fetch(source.checkpoint);
  for (AdapterSource& adapter : source.adapters) {
    fetch(adapter.folder);
  }
  for (std::filesystem::path& base : source.bases) {
    fetch(base);
  }
  return notes;
}

PressOptions press_options(Options& given) {
  PressOptions options;
  options.source = given.source();
  given.require("out", options.out);
  given.take("bundle", options.bundle);
  options.dtypes = given.dtypes();
  options.scheme = given.scheme();
  given.take("calibrate", options.calibrate);
  std::string ops = "ort";
  given.take("ops", ops);
  if (ops != "ort" && ops != "standard") {
    fail(ErrorCode::kInvalidArgument, "ops {} is not one of ort, standard", ops);
  }
  options.ops = ops == "ort" ? OpDialect::kOrt : OpDialect::kStandard;
  given.take("opset", options.opset);
  given.take("max_new_tokens", options.max_new_tokens);
  given.take("prompt", options.prompt);
  given.take("rules_in_graph", options.rules_in_graph);
  given.take("trainer_names", options.trainer_names);
  given.take("set", options.set);
  given.take("bad_words", options.bad_words);
  given.take("num_beams", options.num_beams);
  given.take("uint8_input", options.uint8_input);
  given.take("step", options.step);
  given.take("external_data", options.external_data);
  given.take("model_id", options.model_id);
  given.take("revision", options.revision);
  given.take("force", options.force);
  given.take("engine", options.engine);
  given.take("threads", options.threads);
  given.finish();
  return options;
}

template <PressReport (*kAction)(const PressOptions&)>
std::string press_report(Options& given, const ProgressFn& progress) {
  PressOptions options = press_options(given);
  options.progress = progress;
  const std::vector<std::string> notes = fetch_sources(options.source, progress);
  PressReport report = kAction(options);
  report.notes.insert(report.notes.begin(), notes.begin(), notes.end());
  given.rename(report.notes);
  return to_json(report);
}

std::string merge_report(Options& given, const ProgressFn& progress) {
  MergeOptions options;
  options.source = given.source();
  given.require("out", options.out);
  given.take("dtype", options.dtype);
  given.take("force", options.force);
  given.take("threads", options.threads);
  given.finish();
  options.progress = progress;
  const std::vector<std::string> notes = fetch_sources(options.source, progress);
  MergeReport report = merge(options);
  report.notes.insert(report.notes.begin(), notes.begin(), notes.end());
  given.rename(report.notes);
  return to_json(report);
}

std::string quantize_report(Options& given, const ProgressFn& progress) {
  QuantizeOptions options;
  given.require("in", options.model);
  given.require("out", options.out);
  given.require("dtype", options.dtype);
  options.scheme = given.scheme();
  given.take("calibrate", options.calibrate);
  given.take("external_data", options.external_data);
  given.take("freeze_inputs", options.freeze_inputs);
  given.take("allow_unquantized", options.allow_unquantized);
  given.take("force", options.force);
  given.take("threads", options.threads);
  given.finish();
  options.progress = progress;
  QuantizeReport report = quantize(options);
  given.rename(report.notes);
  for (KeptMatrix& kept : report.kept) {
    kept.reason = given.renamed(kept.reason);
  }
  return to_json(report);
}

std::string verify_report(Options& given, const ProgressFn& progress) {
  VerifyOptions options;
  options.source = given.source();
  given.require("model_dir", options.model);
  given.take("images", options.images);
  given.take("prompts", options.prompts);
  given.take("references", options.references);
  given.take("split", options.split);
  options.dtypes = given.dtypes();
  given.take("max_new_tokens", options.max_new_tokens);
  given.take("min_match", options.min_match);
  options.layers = true;  // as with --json
  given.take("engine", options.engine);
  given.take("html", options.html);
  given.take("trace", options.trace);
  given.take("trace_model_id", options.trace_model_id);
  given.take("trace_revision", options.trace_revision);
  given.take("force", options.force);
  given.take("threads", options.threads);
  given.finish();
  options.progress = progress;
  const std::vector<std::string> notes = fetch_sources(options.source, progress);
  VerifyReport report = verify(options);
  report.notes.insert(report.notes.begin(), notes.begin(), notes.end());
  given.rename(report.notes);
  return to_json(report);
}

}  // namespace
}  // namespace lorapress::c_api

namespace c_api = lorapress::c_api;

extern "C" {

int32_t lorapress_press(const char* options,
                        lorapress_progress_fn progress,
                        void* user,
                        char** report,
                        lorapress_error* error) {
  return c_api::command(
      options, progress, user, report, error, c_api::press_report<lorapress::press>);
}

int32_t lorapress_export(const char* options,
                         lorapress_progress_fn progress,
                         void* user,
                         char** report,
                         lorapress_error* error) {
  return c_api::command(
      options, progress, user, report, error, c_api::press_report<lorapress::export_bundle>);
}

int32_t lorapress_merge(const char* options,
                        lorapress_progress_fn progress,
                        void* user,
                        char** report,
                        lorapress_error* error) {
  return c_api::command(options, progress, user, report, error, c_api::merge_report);
}

int32_t lorapress_quantize(const char* options,
                           lorapress_progress_fn progress,
                           void* user,
                           char** report,
                           lorapress_error* error) {
  return c_api::command(options, progress, user, report, error, c_api::quantize_report);
}

int32_t lorapress_verify(const char* options,
                         lorapress_progress_fn progress,
                         void* user,
                         char** report,
                         lorapress_error* error) {
  return c_api::command(options, progress, user, report, error, c_api::verify_report);
}

int32_t lorapress_inspect(const char* path, char** report, lorapress_error* error) {
  return c_api::guarded(nullptr, error, [&](c_api::Options&) {
    c_api::require_pointer(path, "path");
    c_api::require_pointer(report, "report");
    lorapress::Source source{c_api::to_path(path), {}, {}};
    (void)c_api::fetch_sources(source, {});
    *report = c_api::hand_out(lorapress::inspect(source.checkpoint));
  });
}

}  // extern "C"
