#include "runtime/generation/generate_options.h"

#include <algorithm>
#include <string>

#include "base/fail.h"
#include "checkpoint/generation_config.h"
#include "checkpoint/generation_settings.h"

namespace lorapress {
namespace {

// Refuses NaN, too.
void require(const auto& row, const auto& value, const char* hint = "") {
  if (value && !(*value >= row.least && *value <= row.most)) {
    fail(ErrorCode::kInvalidArgument,
         "options.{} {}, expected {} to {}{}",
         row.key,
         *value,
         row.least,
         row.most,
         hint);
  }
}

void require_tokens(const char* setting, const std::vector<int64_t>& ids, int64_t vocab_size) {
  for (const int64_t id : ids) {
    if (id < 0 || id >= vocab_size) {
      fail(ErrorCode::kInvalidArgument,
           "{} holds the token {}, the model knows {}",
           setting,
           id,
           vocab_size);
    }
  }
}

}  // namespace

void check_options(const GenerateOptions& options) {
  const bool samples = options.do_sample.value_or(false);
  for (const IntegerSetting& row : integer_settings()) {
    require(row, options.*row.member);
  }
  for (const NumberSetting& row : number_settings()) {
    const bool is_temperature = row.member == &GenerationSettings::temperature;
    require(row,
            options.*row.member,
            is_temperature ? "; without sampling options the likeliest token is taken" : "");
  }
  if (options.max_new_tokens && options.min_new_tokens.value_or(0) > *options.max_new_tokens) {
    fail(ErrorCode::kInvalidArgument,
         "options.min_new_tokens {} is above options.max_new_tokens {}",
         *options.min_new_tokens,
         *options.max_new_tokens);
  }
  if (samples && options.num_beams.value_or(1) > 1) {
    fail(ErrorCode::kInvalidArgument,
         "options.num_beams {} with sampling; take either beams or options.temperature, "
         "options.top_k, options.top_p and options.seed",
         *options.num_beams);
  }
}

GenerationSettings chosen_settings(const GenerateOptions& options,
                                   const GenerationSettings& folder) {
  GenerationSettings settings = merged_settings(options, folder);
  if (settings.do_sample.value_or(false) && settings.num_beams.value_or(1) > 1) {
    if (options.do_sample) {
      settings.num_beams = 1;
    } else {
      settings.do_sample = false;
    }
  }
  // Where two names mean one thing, an option overrides the folder's setting under the other name.
  if (options.max_length && !options.max_new_tokens) {
    settings.max_new_tokens.reset();
  }
  if (options.min_length && !options.min_new_tokens) {
    settings.min_new_tokens.reset();
  }
  return settings;
}

void leave_rules_to_graph(const GenerateOptions& options,
                          const GenerationSettings& folder,
                          std::span<const std::string> rules,
                          GenerationSettings& settings) {
  if (rules.empty()) {
    return;
  }
  const Json asked = generation_settings_json(options);
  const Json there = generation_settings_json(folder);
  for (const std::string& rule : rules) {
    if (asked.contains(rule) && asked.at(rule) != there.value(rule, Json())) {
      fail(
          ErrorCode::kInvalidArgument,
          "options.{} asks for another value than the folder's, which its decoder applies to its own "
          "logits; press without options.rules_in_graph to change it here",
          rule);
    }
  }
  if (settings.num_beams.value_or(1) > 1) {
    fail(
        ErrorCode::kInvalidArgument,
        "options.num_beams {}: the folder's decoder applies {} to its own logits, beams need them without; "
        "press without options.rules_in_graph, or take one beam",
        *settings.num_beams,
        fmt::join(rules, ", "));
  }
  Json left = generation_settings_json(settings);
  for (const std::string& rule : rules) {
    left.erase(rule);
  }
  settings = parse_generation_settings(left, INT64_MAX, "settings");
}

int64_t new_tokens(const GenerationSettings& settings, const GenerationContext& context) {
  if (settings.max_new_tokens || !settings.max_length) {
    return settings.max_new_tokens.value_or(context.max_new_tokens);
  }
  if (*settings.max_length <= context.positions) {
    fail(ErrorCode::kInvalidArgument,
         "max_length {} counts the {} positions of image and prompt and leaves no room behind "
         "them; pass options.max_new_tokens",
         *settings.max_length,
         context.positions);
  }
  return *settings.max_length - context.positions;
}

TokenRules token_rules(const GenerationSettings& settings, const GenerationContext& context) {
  TokenRules rules;
  rules.repetition_penalty = settings.repetition_penalty.value_or(1.0);
  rules.no_repeat_ngram_size = settings.no_repeat_ngram_size.value_or(0);
  rules.min_new_tokens = settings.min_new_tokens.value_or(
      std::max<int64_t>(0, settings.min_length.value_or(0) - context.positions));
  rules.max_new_tokens = new_tokens(settings, context);
  rules.eos_token_ids = context.eos_token_ids;
  rules.suppress_tokens = settings.suppress_tokens.value_or(std::vector<int64_t>());
  rules.begin_suppress_tokens = settings.begin_suppress_tokens.value_or(std::vector<int64_t>());
  rules.forced_bos_token_id = settings.forced_bos_token_id;
  rules.forced_eos_token_ids = settings.forced_eos_token_id.value_or(std::vector<int64_t>());
  require_tokens("suppress_tokens", rules.suppress_tokens, context.vocab_size);
  require_tokens("begin_suppress_tokens", rules.begin_suppress_tokens, context.vocab_size);
  require_tokens("forced_eos_token_id", rules.forced_eos_token_ids, context.vocab_size);
  if (rules.forced_bos_token_id) {
    require_tokens("forced_bos_token_id", {*rules.forced_bos_token_id}, context.vocab_size);
  }
  if (settings.bad_words_ids) {
    for (const std::vector<int64_t>& word : *settings.bad_words_ids) {
      require_tokens("bad_words_ids", word, context.vocab_size);
      if (word.empty()) {
        fail(ErrorCode::kInvalidArgument, "bad_words_ids holds a word without tokens");
      }
    }
    rules.bad_words_ids = without_end_words(*settings.bad_words_ids, context.eos_token_ids);
  }
  return rules;
}

SamplingFilters sampling_filters(const GenerationSettings& settings) {
  return {
      settings.temperature.value_or(1.0), settings.top_k.value_or(0), settings.top_p.value_or(1.0)};
}

// Every step asks for (1 + end tokens) continuations per beam, and the first has one row of scores.
BeamOptions beam_options(const GenerationSettings& settings, const GenerationContext& context) {
  const BeamOptions options{settings.num_beams.value_or(1),
                            new_tokens(settings, context),
                            settings.length_penalty.value_or(1.0),
                            settings.early_stopping.value_or(EarlyStopping::kHeuristic),
                            context.eos_token_ids};
  const int64_t needed = options.num_beams * (1 + std::ssize(context.eos_token_ids));
  if (options.num_beams > 1 && needed > context.vocab_size) {
    fail(ErrorCode::kInvalidArgument,
         "{} beams need {} tokens to choose from, the model has {}; lower options.num_beams",
         options.num_beams,
         needed,
         context.vocab_size);
  }
  return options;
}

}  // namespace lorapress
