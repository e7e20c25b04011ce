// What verify() takes.
#ifndef LORAPRESS_API_VERIFY_INPUT_H_
#define LORAPRESS_API_VERIFY_INPUT_H_

#include "lorapress/verify.h"

#include "bundles/manifest.h"
#include "checkpoint/checkpoint.h"

namespace lorapress {

// Throws kInvalidArgument for options out of range or that do not go together with the folder's model.
void check_verify_options(const VerifyOptions& options);

// Throws kUnsupported for a bundle that verify does not run, kMismatch for a checkpoint that cannot be the folder's.
void require_verifiable(const VerifyOptions& options,
                        const Manifest& manifest,
                        const Checkpoint& checkpoint);

}  // namespace lorapress

#endif  // LORAPRESS_API_VERIFY_INPUT_H_
