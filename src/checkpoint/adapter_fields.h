// What each field of PEFT's LoraConfig means for a merged weight.
#ifndef LORAPRESS_CHECKPOINT_ADAPTER_FIELDS_H_
#define LORAPRESS_CHECKPOINT_ADAPTER_FIELDS_H_

#include <string_view>

#include "base/json.h"

namespace lorapress {

// Throws kUnsupported, naming the field, for one that changes a merged weight and is not
// implemented, and for an unknown one whose value says something. `whole`: all members are
// LoraConfig's; else only the names that are LoraConfig's alone are looked at.
void check_adapter_fields(const Json& config, std::string_view where, bool whole);

}  // namespace lorapress

#endif  // LORAPRESS_CHECKPOINT_ADAPTER_FIELDS_H_
