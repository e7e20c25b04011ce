#include <cmath>

#include "lorapress/caption.h"

#include "base/fail.h"

namespace lorapress {
namespace {

constexpr int64_t kMostTokens = int64_t{1} << 20;

void require(int64_t value, int64_t least, int64_t most, const char* option) {
  if (value < least || value > most) {
    fail(ErrorCode::kInvalidArgument, "{} {}, expected {} to {}", option, value, least, most);
  }
}

// Also for what is not a number.
void require(double value, double least, double most, const char* option, const char* hint = "") {
  if (!(value >= least && value <= most)) {
    fail(ErrorCode::kInvalidArgument,
         "{} {}, expected {} to {}{}",
         option,
         value,
         least,
         most,
         hint);
  }
}

}  // namespace

void check_options(const GenerateOptions& options) {
  constexpr int64_t kMostBeams = 64;
  constexpr double kMostPenalty = 100.0;
  require(options.max_new_tokens, 0, kMostTokens, "--max-new-tokens");
  require(options.min_new_tokens, 0, kMostTokens, "--min-new-tokens");
  if (options.max_new_tokens > 0 && options.min_new_tokens > options.max_new_tokens) {
    fail(ErrorCode::kInvalidArgument,
         "--min-new-tokens {} is above --max-new-tokens {}",
         options.min_new_tokens,
         options.max_new_tokens);
  }
  require(options.repetition_penalty, 0.01, kMostPenalty, "--repetition-penalty");
  require(options.no_repeat_ngram_size, 0, kMostTokens, "--no-repeat-ngram-size");
  require(options.num_beams, 1, kMostBeams, "--num-beams");
  require(options.length_penalty, -10.0, 10.0, "--length-penalty");
  require(options.temperature,
          0.001,
          kMostPenalty,
          "--temperature",
          "; without sampling options the likeliest token is taken");
  require(options.top_k, 0, kMostTokens, "--top-k");
  require(options.top_p, 0.001, 1.0, "--top-p");
  if (options.do_sample && options.num_beams > 1) {
    fail(ErrorCode::kInvalidArgument,
         "--num-beams {} with sampling; take either beams or --temperature, --top-k, --top-p and "
         "--seed",
         options.num_beams);
  }
}

}  // namespace lorapress
