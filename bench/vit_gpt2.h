// The tensors and config.json of VisionEncoderDecoder with ViT and GPT-2, by transformers' names.
#ifndef LORAPRESS_BENCH_VIT_GPT2_H_
#define LORAPRESS_BENCH_VIT_GPT2_H_

#include <cstdint>
#include <string_view>

#include "base/json.h"
#include "tensor_list.h"

namespace lorapress {

// Both parts have the same hidden size and heads, so that no enc_to_dec_proj stands between them, and
// feed-forward layers of four times the hidden size.
struct VitGpt2Shape {
  int64_t hidden;
  int64_t heads;
  int64_t image_size;
  int64_t patch;
  int64_t encoder_layers;
  int64_t decoder_layers;
  int64_t vocab;
};

// GPT-2's Conv1D weights are [in, out].
void add_vit_gpt2(TensorList& tensors, const VitGpt2Shape& shape);
Json vit_gpt2_config(const VitGpt2Shape& shape, std::string_view torch_dtype);

}  // namespace lorapress

#endif  // LORAPRESS_BENCH_VIT_GPT2_H_
