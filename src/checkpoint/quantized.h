// Checkpoints that a quantizer saved: bitsandbytes' tensors become floats; tensors of other
// quantizers are refused, recognized by their names.
#ifndef LORAPRESS_CHECKPOINT_QUANTIZED_H_
#define LORAPRESS_CHECKPOINT_QUANTIZED_H_

#include <string>
#include <vector>

#include "base/json.h"
#include "checkpoint/safetensors.h"

namespace lorapress {

// Throws kUnsupported when the "quantization_config" of a config.json (or of a tower in it) names
// another quantizer than bitsandbytes; `where` is the file.
void check_quantization(const Json& config, std::string_view where);

// NF4, FP4 (also with double quantization) and LLM.int8() weights as lazy floats, without the
// tensors that describe their quantization. `where` is the folder. Throws kInvalidFile for
// descriptions that do not fit, kUnsupported for tensors of other quantizers.
TensorMap dequantized(TensorMap tensors, const std::string& where, std::vector<std::string>& notes);

// Removes "quantization_config", for configs that are written.
void drop_quantization(Json& config);

}  // namespace lorapress

#endif  // LORAPRESS_CHECKPOINT_QUANTIZED_H_
