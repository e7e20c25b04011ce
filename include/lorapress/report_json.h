// Reports as JSON objects: what the program prints with --json, but for what belongs to a process (peak_memory_bytes).
// The C ABI (c_api.h) gives the same documents.
#ifndef LORAPRESS_REPORT_JSON_H_
#define LORAPRESS_REPORT_JSON_H_

#include <string>

#include "lorapress/merge.h"
#include "lorapress/press.h"
#include "lorapress/quantize.h"
#include "lorapress/score.h"
#include "lorapress/verify.h"

namespace lorapress {

// One object without line breaks; bytes that are not UTF-8 are written as U+FFFD.
std::string to_json(const PressReport& report);
std::string to_json(const MergeReport& report);
std::string to_json(const QuantizeReport& report);
std::string to_json(const VerifyReport& report);
std::string to_json(const CaptionMetrics& metrics);

}  // namespace lorapress

#endif  // LORAPRESS_REPORT_JSON_H_
