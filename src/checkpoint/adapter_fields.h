// What each field of PEFT's LoraConfig means for a merged weight.
#ifndef LORAPRESS_CHECKPOINT_ADAPTER_FIELDS_H_
#define LORAPRESS_CHECKPOINT_ADAPTER_FIELDS_H_

#include <string_view>

#include "base/json.h"

namespace lorapress {

// Throws kUnsupported, naming the field, for a field that changes a merged weight and is not
// implemented, and for an unknown field whose value is not neutral (null, false, 0, empty).
// `whole`: `config` is a LoraConfig; otherwise only LoraConfig's own field names are checked.
void check_adapter_fields(const Json& config, std::string_view where, bool whole);

}  // namespace lorapress

#endif  // LORAPRESS_CHECKPOINT_ADAPTER_FIELDS_H_
