#include "lorapress/trace.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "base/fail.h"
#include "base/file.h"
#include "base/json.h"
#include "bundles/bundle.h"
#include "bundles/layout.h"
#include "bundles/manifest.h"
#include "runtime/generation/generate_options.h"
#include "runtime/generation/sampling.h"
#include "runtime/generation/tokenizer.h"
#include "runtime/graph_choice.h"
#include "runtime/tiles.h"
#include "verify/distance.h"
#include "verify/folder_model.h"
#include "verify/trace.h"

namespace lorapress {
namespace {

constexpr uint64_t kMaxTrace = uint64_t{512} << 20;

struct Example {
  std::string id;
  Image image;
  std::vector<double> pooled;
  int64_t vocab = 0;
  std::vector<int64_t> indices;
  std::vector<double> logits;
  double log_partition = 0.0;
  std::string result;
};

std::vector<std::byte> from_base64(std::string_view text, const std::string& where) {
  std::vector<std::byte> bytes;
  uint32_t bits = 0;
  int count = 0;
  constexpr std::string_view kLetters =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (const char sign : text.substr(0, text.find('='))) {
    const size_t value = kLetters.find(sign);
    if (value == std::string_view::npos) {
      fail(ErrorCode::kInvalidFile, "{}: input.image is not base64", where);
    }
    bits = bits << 6U | static_cast<uint32_t>(value);
    count += 6;
    if (count >= 8) {
      count -= 8;
      bytes.push_back(static_cast<std::byte>(bits >> static_cast<unsigned>(count) & 0xFFU));
    }
  }
  return bytes;
}

const Json& member(const Json& object, std::string_view key, const std::string& where) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  if (!object.is_object() || found == object.end()) {
    fail(ErrorCode::kInvalidFile, "{}: no \"{}\"", where, key);
  }
  return *found;
}

template <typename T>
std::vector<T> numbers(const Json& list, const std::string& where) {
  const bool right = list.is_array() && std::ranges::all_of(list, [](const Json& value) {
                       return std::is_integral_v<T> ? value.is_number_integer() : value.is_number();
                     });
  if (!right) {
    fail(ErrorCode::kInvalidFile, "{}: expected a list of numbers", where);
  }
  return list.get<std::vector<T>>();
}

Example read_example(const Json& json, const std::string& where) {
  constexpr std::string_view kHead = "data:image/png;base64,";
  Example example;
  example.id = json_get<std::string>(json, "id", where);
  example.result = json_get<std::string>(json, "result", where);
  const auto image = json_get<std::string>(member(json, "input", where), "image", where);
  if (!image.starts_with(kHead)) {
    fail(ErrorCode::kInvalidFile, "{}: input.image is not a PNG as a data: address", where);
  }
  example.image =
      decode_image(from_base64(std::string_view(image).substr(kHead.size()), where), where);
  const Json& outputs = member(member(json, "outputs", where), "captioner", where);
  example.pooled = numbers<double>(member(outputs, "encoder_pooled", where), where);
  const Json& step = member(outputs, "step0", where);
  example.vocab = json_get<int64_t>(step, "vocab", where);
  example.log_partition = json_get<double>(step, "log_partition", where);
  example.indices = numbers<int64_t>(member(step, "top_indices", where), where);
  example.logits = numbers<double>(member(step, "top_logits", where), where);
  const bool inside = std::ranges::all_of(
      example.indices, [&](int64_t index) { return index >= 0 && index < example.vocab; });
  if (!inside || example.indices.size() != example.logits.size() || example.indices.empty()) {
    fail(ErrorCode::kInvalidFile, "{}: top_indices and top_logits do not belong together", where);
  }
  return example;
}

// KL(trace || file) over the trace's tokens; the others have no weight worth counting.
double divergence(const Example& example, std::span<const float> logits) {
  if (std::ssize(logits) != example.vocab) {
    fail(ErrorCode::kMismatch,
         "{}: the file gives {} logits, the trace has {} tokens",
         example.id,
         logits.size(),
         example.vocab);
  }
  const double most = static_cast<double>(*std::ranges::max_element(logits));
  double sum = 0.0;
  for (const float value : logits) {
    sum += std::exp(static_cast<double>(value) - most);
  }
  double kl = 0.0;
  for (size_t i = 0; i < example.indices.size(); ++i) {
    const double expected = example.logits[i] - example.log_partition;
    const double found =
        static_cast<double>(logits[static_cast<size_t>(example.indices[i])]) - most - std::log(sum);
    kl += std::exp(expected) * (expected - found);
  }
  return std::isnan(kl) ? std::numeric_limits<double>::infinity() : std::max(kl, 0.0);
}

// False for NaN. Minus infinity is a token that rules inside the decoder forbid.
bool below_infinity(float value) {
  return value < std::numeric_limits<float>::infinity();
}

void compare(const Example& example,
             const FolderModel& model,
             const Manifest& manifest,
             const Tokenizer& tokenizer,
             TraceDtype& found) {
  const GraphTensor image =
      model.encode(tiled_pixels(example.image, manifest.preprocessing).values);
  const GraphTensor states = image.converted(DType::kF32);
  const auto width = static_cast<int64_t>(example.pooled.size());
  if (states.shape().empty() || states.shape().back() != width) {
    fail(ErrorCode::kMismatch,
         "{}: the encoder gives [{}], the trace has vectors of {}",
         example.id,
         fmt::join(states.shape(), ", "),
         width);
  }
  const double alike = cosine(pooled(states.as_floats(), width), example.pooled);
  found.encoder_cosine_min = std::isnan(alike) ? -1.0 : std::min(found.encoder_cosine_min, alike);
  GenerationSettings settings = manifest.generation;
  settings.num_beams = 1;  // the trace's captions are greedy
  leave_rules_to_graph({}, manifest.generation, manifest.rules_in_graph, settings);
  TokenRules rules = token_rules(settings,
                                 {manifest.eos_token_ids,
                                  manifest.vocab_size,
                                  manifest.max_new_tokens,
                                  manifest.cross() ? 1 : manifest.image_tokens});
  const std::vector<int64_t> start{manifest.decoder_start_token_id};
  rules.before = manifest.cross() ? start : std::vector<int64_t>();
  std::vector<int64_t> ids;
  DecoderStep step = model.step(start, image, model.empty_cache());
  found.step0_kld_max = std::max(found.step0_kld_max, divergence(example, step.logits));
  while (std::ranges::all_of(step.logits, below_infinity)) {
    ids.push_back(likeliest(rules, ids, step.logits));
    if (std::ssize(ids) >= rules.max_new_tokens ||
        std::ranges::find(rules.eos_token_ids, ids.back()) != rules.eos_token_ids.end()) {
      break;
    }
    step = model.step(std::span(ids).last(1), image, step.cache);
  }
  found.results_matched += tokenizer.decode(ids) == example.result ? 1 : 0;
}

double tolerance(const Json& trace, std::string_view name, const std::string& where) {
  return json_get<double>(
      member(member(trace, "tolerances", where), name, where), "captioner", where);
}

}  // namespace

TraceReport check_trace(const TraceOptions& options) {
  return with_file_errors([&] {
    const std::string where = options.trace.string();
    const Json trace = read_json(options.trace, kMaxTrace);
    if (json_get<int64_t>(trace, "schema_version", where) != 1) {
      fail(ErrorCode::kUnsupported, "{}: schema_version is not 1", where);
    }
    const Manifest manifest = read_manifest(options.model);
    if (!has_transformers_js_layout(manifest.bundle)) {
      fail(ErrorCode::kUnsupported,
           "{}: is a bundle \"{}\", a trace is of \"{}\"",
           options.model.string(),
           manifest.bundle,
           kTransformersJs.name);
    }
    TraceReport report;
    report.encoder_cosine_min = tolerance(trace, "encoder_cosine_min", where);
    report.step0_kld_max = tolerance(trace, "step0_kld_max", where);
    std::vector<Example> examples;
    const Json& list = member(trace, "examples", where);
    for (size_t i = 0; list.is_array() && i < list.size(); ++i) {
      examples.push_back(read_example(list[i], fmt::format("{}: examples {}", where, i)));
    }
    if (examples.empty()) {
      fail(ErrorCode::kInvalidFile, "{}: no examples", where);
    }
    report.examples = std::ssize(examples);
    report.passed = true;
    const Tokenizer tokenizer = Tokenizer::from_file(options.model / "tokenizer.json");
    std::vector<std::string> dtypes = options.dtypes;
    for (const auto& [name, files] : manifest.graphs) {
      if (options.dtypes.empty()) {
        dtypes.push_back(name);
      }
    }
    for (const std::string& name : dtypes) {
      for (const char* work : {"encoder", "decoder"}) {
        graph_file(
            manifest, options.model, name, role_of(manifest, work));  // named where it is not there
      }
      TraceDtype found;
      found.dtype = name;
      const std::unique_ptr<FolderModel> model =
          open_folder_model(options.model, manifest, {name, options.engine, options.threads});
      for (const Example& example : examples) {
        compare(example, *model, manifest, tokenizer, found);
      }
      found.passed = found.encoder_cosine_min >= report.encoder_cosine_min &&
                     found.step0_kld_max <= report.step0_kld_max;
      report.passed = report.passed && found.passed;
      report.dtypes.push_back(std::move(found));
    }
    return report;
  });
}

}  // namespace lorapress
