// What differs between the decoders of Llama's kind, for reference_text.cc: read from config.json by
// rules of its own, so that a fault of the families' readers is not repeated here.
#ifndef LORAPRESS_VERIFY_REFERENCE_DECODERS_H_
#define LORAPRESS_VERIFY_REFERENCE_DECODERS_H_

#include <vector>

#include "checkpoint/checkpoint.h"

namespace lorapress::reference {

struct LayerFacts {
  bool rotated = true;
  int64_t window = 0;  // positions that a query sees, its own the last of them; 0: all before it
};

struct DecoderFacts {
  AttentionBiases biases;
  bool head_norms = false;  // q_norm and k_norm
  bool fused = false;       // qkv_proj and gate_up_proj
  std::vector<LayerFacts> layers;
  std::vector<double> inverse_frequencies;  // of the rotated numbers of a head, half of them
  double rotary_scaling = 1.0;              // of cosines and sines
  int64_t most_positions = 0;  // beyond them the frequencies would be others; 0: no limit
};

// Throws kUnsupported for a decoder or a rope type without a reference forward.
DecoderFacts decoder_facts(const Checkpoint& checkpoint);

}  // namespace lorapress::reference

#endif  // LORAPRESS_VERIFY_REFERENCE_DECODERS_H_
