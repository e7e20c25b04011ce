// The loops of generation over a decoder: greedy, sampling, and beams, for several images at once.
#ifndef LORAPRESS_RUNTIME_GENERATION_GENERATE_H_
#define LORAPRESS_RUNTIME_GENERATION_GENERATE_H_

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "runtime/engine/decoder.h"
#include "runtime/generation/beam.h"
#include "runtime/generation/sampling.h"

namespace lorapress {

struct Generated {
  std::vector<int64_t> ids;  // new tokens, the end token included
  float score = 0.0F;        // of beam search
};

struct GenerationRequest {
  TokenRules rules;         // max_new_tokens at least 1
  BeamOptions beams;        // num_beams 1: greedy or sampling
  SamplingFilters filters;  // with do_sample
  bool do_sample = false;
  uint32_t seed = 0;
  int64_t image_tokens = 0;        // positions of an image
  std::vector<int64_t> first_ids;  // the start token, in whose place the image stands; the prompt
};

struct GenerationTimes {
  double prefill_ms = 0.0;  // sum over all images, which are prefilled one by one
  double decode_ms = 0.0;   // sum over all further calls, which run all images together
};

// Called for every new token but an end token; only with one image and one beam.
using TokenFn = std::function<void(int64_t token)>;

// One result per image. An image's result does not depend on the others. REQUIRES: `decoder`
// encoded the images.
std::vector<Generated> generate(const Decoder& decoder,
                                std::span<const std::unique_ptr<EncodedImage>> images,
                                const GenerationRequest& request,
                                GenerationTimes& times,
                                const TokenFn& on_token = {});

}  // namespace lorapress

#endif  // LORAPRESS_RUNTIME_GENERATION_GENERATE_H_
