// Pieces of a page: untrusted text, escaped; captions compared; plots.
#ifndef LORAPRESS_VERIFY_REPORT_HTML_H_
#define LORAPRESS_VERIFY_REPORT_HTML_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lorapress {
struct VerifyReport;
}

namespace lorapress::html {

// For content and quoted attributes. Invalid UTF-8, control characters and bidirectional overrides
// become U+FFFD.
std::string escaped(std::string_view text);

// `text` with the words it has beyond `reference` in <mark> and those it lacks in <del>.
std::string marked_difference(std::string_view reference, std::string_view text);

std::string number(double value);  // 1.2e-5; a dash where it is not finite
// 99.98 %, rounded down, so that 100 % means all.
std::string percent(int64_t part, int64_t whole);
std::string megabytes(uint64_t bytes);

// Lines over a logarithmic axis, as inline SVG. Values of 0 lie on the lower edge, absent ones
// leave a gap. `splits` are where a group of columns begins.
struct Series {
  std::string name;
  std::vector<std::optional<double>> values;
};
struct Split {
  size_t column;
  std::string name;
};
std::string log_plot(std::string_view title,
                     std::string_view x_title,
                     const std::vector<Split>& splits,
                     const std::vector<Series>& series);

// The metrics of captions, where the report has them; otherwise empty.
std::string caption_quality(const VerifyReport& report);

// Of the lines, told apart by colour and dashes, one class per series: kPlotColors then repeats.
inline constexpr size_t kPlotColors = 6;

}  // namespace lorapress::html

#endif  // LORAPRESS_VERIFY_REPORT_HTML_H_
