// The report of `verify --against`.
#ifndef LORAPRESS_CLI_TRACE_REPORT_H_
#define LORAPRESS_CLI_TRACE_REPORT_H_

#include "lorapress/trace.h"

namespace lorapress::cli {

void print_trace_report(const TraceReport& report, bool json);

}  // namespace lorapress::cli

#endif  // LORAPRESS_CLI_TRACE_REPORT_H_
