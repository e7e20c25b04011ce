#include "verify/trace.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/fail.h"
#include "bundles/bundle.h"
#include "bundles/layout.h"
#include "verify/distance.h"

namespace lorapress {
namespace {

constexpr double kLeastTolerance = 1e-4;
constexpr int64_t kAnySide = int64_t{1} << 30;  // images are not made smaller

// How far the caption's tokens lead the next ones; 0 where a rule chose another token.
double smallest_lead(const ReferenceCaption& caption) {
  double least = std::numeric_limits<double>::infinity();
  for (size_t t = 0; t < caption.ids.size(); ++t) {
    const auto row = caption.logits.row(static_cast<int64_t>(t));
    const auto chosen = static_cast<size_t>(caption.ids[t]);
    double next = -std::numeric_limits<double>::infinity();
    for (size_t i = 0; i < row.size(); ++i) {
      next = i == chosen ? next : std::max(next, static_cast<double>(row[i]));
    }
    least = std::min(least, std::max(0.0, static_cast<double>(row[chosen]) - next));
  }
  return least;
}

Json first_step(std::span<const float> logits) {
  constexpr size_t kLeast = 64;
  constexpr size_t kMost = 4096;
  std::vector<size_t> order(logits.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order,
                           [&](size_t left, size_t right) { return logits[left] > logits[right]; });
  const double most = static_cast<double>(logits[order.front()]);
  double sum = 0.0;
  for (const float value : logits) {
    sum += std::exp(static_cast<double>(value) - most);
  }
  Json indices = Json::array();
  Json values = Json::array();
  double rest = sum;
  for (const size_t i : order) {
    const bool enough = rest <= kLeftMass * sum;
    if (indices.size() >= kMost || (indices.size() >= kLeast && enough)) {
      break;
    }
    if (std::isinf(logits[i])) {
      break;  // only tokens that rules inside the decoder forbid are left
    }
    rest -= std::exp(static_cast<double>(logits[i]) - most);
    indices.push_back(i);
    values.push_back(static_cast<double>(logits[i]));
  }
  return {{"vocab", logits.size()},
          {"top_indices", indices},
          {"top_logits", values},
          {"log_partition", most + std::log(sum)}};
}

}  // namespace

std::vector<double> pooled(std::span<const float> values, int64_t width) {
  std::vector<double> mean(static_cast<size_t>(width), 0.0);
  const double positions = static_cast<double>(values.size()) / static_cast<double>(width);
  for (size_t i = 0; i < values.size(); ++i) {
    mean[i % mean.size()] += static_cast<double>(values[i]) / positions;
  }
  return mean;
}

double cosine(std::span<const double> left, std::span<const double> right) {
  const double sizes =
      std::sqrt(std::inner_product(left.begin(), left.end(), left.begin(), 0.0)) *
      std::sqrt(std::inner_product(right.begin(), right.end(), right.begin(), 0.0));
  const double product = std::inner_product(left.begin(), left.end(), right.begin(), 0.0);
  return sizes == 0.0 ? 0.0 : product / sizes;
}

TraceWriter::TraceWriter(const VerifyOptions& options, const Manifest& manifest) {
  if (!has_transformers_js_layout(manifest.bundle)) {
    fail(ErrorCode::kUnsupported,
         "{}: a trace is of the bundle \"{}\", this folder is of \"{}\"",
         options.model.string(),
         kTransformersJs.name,
         manifest.bundle);
  }
  const std::filesystem::path folder = std::filesystem::absolute(options.model).lexically_normal();
  const std::filesystem::path named = folder.has_filename() ? folder : folder.parent_path();
  models_ = {{"captioner",
              {{"model_id",
                options.trace_model_id.empty() ? "local/" + named.filename().string()
                                               : options.trace_model_id},
               {"revision", options.trace_revision}}}};
}

void TraceWriter::add(const ReferenceImage& reference) {
  Example example;
  example.image = reference.image;
  example.lead = smallest_lead(reference.caption);
  example.outputs = {{"encoder_pooled", pooled(reference.prefix.values, reference.prefix.cols)},
                     {"step0", first_step(reference.caption.logits.row(0))}};
  examples_.push_back(std::move(example));
}

std::string TraceWriter::finish(const std::vector<Picture>& pictures, VerifyReport& report) const {
  Json examples = Json::array();
  std::vector<std::string> left_out;
  std::vector<bool> kept(report.images.size(), false);
  for (const Example& example : examples_) {
    const VerifyImage& image = report.images[example.image];
    if (example.lead < kClearLead) {
      left_out.push_back(image.name);
      continue;
    }
    kept[example.image] = true;
    examples.push_back(
        {{"id", image.name},
         {"input", {{"image", png_data_uri(pictures[example.image].load(), kAnySide)}}},
         {"outputs", {{"captioner", example.outputs}}},
         {"result", image.text}});
  }
  if (examples.empty()) {
    fail(
        ErrorCode::kInvalidArgument,
        "options.trace: no image has a caption whose tokens all lead by {} of a logit; name other images",
        kClearLead);
  }
  if (!left_out.empty()) {
    report.notes.push_back(fmt::format(
        "the trace has {} images; left out, since a token of their caption leads by less than {} of a logit: {}",
        examples.size(),
        kClearLead,
        fmt::join(left_out, ", ")));
  }
  double apart = 0.0;
  double divergence = 0.0;
  for (const DtypeParity& dtype : report.dtypes) {
    for (const ImageParity& parity : dtype.images) {
      if (kept[parity.image] && !parity.kl.empty()) {
        apart = std::max(apart, 1.0 - parity.pooled_cosine);
        divergence = std::max(divergence, parity.kl.front());
      }
    }
  }
  const Json trace = {
      {"schema_version", 1},
      {"models", models_},
      {"reference",
       {{"runtime", "lorapress verify"},
        {"runtime_version", LORAPRESS_VERSION},
        {"device", "cpu"},
        {"dtype", "fp32"},
        {"revision", models_.at("captioner").at("revision")}}},
      {"tolerances",
       {{"encoder_cosine_min", {{"captioner", 1.0 - std::max(kLeastTolerance, 2.0 * apart)}}},
        {"step0_kld_max", {{"captioner", std::max(kLeastTolerance, 2.0 * divergence)}}}}},
      {"examples", examples}};
  return trace.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace lorapress
