// The files that verify() writes beside its report.
#ifndef LORAPRESS_API_VERIFY_OUTPUTS_H_
#define LORAPRESS_API_VERIFY_OUTPUTS_H_

#include "lorapress/verify.h"

namespace lorapress {

// Before anything is computed. Throws kNotFound, kExists.
void check_outputs(const VerifyOptions& options);
// The page and the trace; notes go into the report.
void write_outputs(const VerifyOptions& options, VerifyReport& report);

}  // namespace lorapress

#endif  // LORAPRESS_API_VERIFY_OUTPUTS_H_
