// The input of a decoder whose image features replace the prompt's image tokens: LlavaModel.forward
// (models/llava/modeling_llava.py, masked_scatter) and Idefics3Model.inputs_merger.
#ifndef LORAPRESS_VERIFY_REFERENCE_PLACEHOLDER_H_
#define LORAPRESS_VERIFY_REFERENCE_PLACEHOLDER_H_

#include "verify/reference.h"
#include "verify/reference_text.h"

namespace lorapress::reference {

// A row for every id of the prompt: its embedding, or for an image token the next row of `features`.
// Throws kMismatch where the prompt has another number of image tokens than there are features.
// A prompt without ids leaves the features alone.
template <typename T>
BasicRows<T> joined(const Decoder& decoder,
                    const BasicRows<T>& features,
                    const ReferencePrompt& prompt);

}  // namespace lorapress::reference

#endif  // LORAPRESS_VERIFY_REFERENCE_PLACEHOLDER_H_
