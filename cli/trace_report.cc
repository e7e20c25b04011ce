#include "trace_report.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "messages.h"
#include "terminal.h"

namespace lorapress::cli {
namespace {

nlohmann::json to_json(const TraceReport& report) {
  nlohmann::json json = {{"passed", report.passed},
                         {"examples", report.examples},
                         {"tolerances",
                          {{"encoder_cosine_min", report.encoder_cosine_min},
                           {"step0_kld_max", report.step0_kld_max}}},
                         {"dtypes", nlohmann::json::array()}};
  for (const TraceDtype& dtype : report.dtypes) {
    json["dtypes"].push_back({{"dtype", dtype.dtype},
                              {"passed", dtype.passed},
                              {"encoder_cosine_min", dtype.encoder_cosine_min},
                              {"step0_kld_max", dtype.step0_kld_max},
                              {"results_matched", dtype.results_matched}});
  }
  return json;
}

}  // namespace

void print_trace_report(const TraceReport& report, bool json) {
  if (json) {
    print_json(to_json(report));
    return;
  }
  fmt::print(
      "{:<8} {:>18} {:>14} {:>10}\n", "dtype", "encoder cosine", "KL, 1st token", "captions");
  for (const TraceDtype& dtype : report.dtypes) {
    fmt::print("{:<8} {:>18.8f} {:>14.2e} {:>10}  {}\n",
               one_line(dtype.dtype),
               dtype.encoder_cosine_min,
               dtype.step0_kld_max,
               fmt::format("{}/{}", dtype.results_matched, report.examples),
               dtype.passed ? "pass" : "FAIL");
  }
  fmt::print("{:<8} {:>18.8f} {:>14.2e}\n{}\n",
             "expected",
             report.encoder_cosine_min,
             report.step0_kld_max,
             report.passed ? "agrees with the trace" : "does not agree with the trace");
}

}  // namespace lorapress::cli
