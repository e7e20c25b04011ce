// An SVG that takes its colours from the page (see html_page.cc), so that it follows light and
// dark mode.
#include <algorithm>
#include <cmath>
#include <fmt/format.h>

#include "verify/report/html.h"

namespace lorapress::html {
namespace {

constexpr double kWidth = 760;
constexpr double kHeight = 300;
constexpr double kLeft = 64;
constexpr double kRight = 16;
constexpr double kTop = 28;
constexpr double kBottom = 44;

struct Axis {
  int low = 0;  // decades
  int high = 1;
  size_t columns = 1;

  [[nodiscard]] double x(size_t column) const {
    const double step = (kWidth - kLeft - kRight) / static_cast<double>(columns);
    return kLeft + step * (static_cast<double>(column) + 0.5);
  }
  [[nodiscard]] double y(double value) const {
    const double decades = value > 0.0 ? std::log10(value) : low;
    const double share = (decades - low) / static_cast<double>(high - low);
    return kHeight - kBottom - std::clamp(share, 0.0, 1.0) * (kHeight - kTop - kBottom);
  }
};

Axis axis_of(const std::vector<Series>& series) {
  constexpr int kMostDecades = 16;
  Axis axis;
  double least = 0.0;
  double most = 0.0;
  for (const Series& line : series) {
    axis.columns = std::max(axis.columns, line.values.size());
    for (const std::optional<double>& value : line.values) {
      if (value && std::isfinite(*value) && *value > 0.0) {
        least = least == 0.0 ? *value : std::min(least, *value);
        most = std::max(most, *value);
      }
    }
  }
  if (most > 0.0) {
    axis.high = static_cast<int>(std::ceil(std::log10(most)));
    axis.low = static_cast<int>(std::floor(std::log10(least)));
    axis.low = std::clamp(axis.low, axis.high - kMostDecades, axis.high - 1);
  }
  return axis;
}

std::string grid(const Axis& axis) {
  std::string svg;
  const int step = axis.high - axis.low > 8 ? 2 : 1;
  for (int decade = axis.low; decade <= axis.high; decade += step) {
    const double y = axis.y(std::pow(10.0, decade));
    svg += fmt::format(
        "<line class=\"grid\" x1=\"{0}\" x2=\"{1}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\"/>"
        "<text x=\"{3}\" y=\"{4:.1f}\" text-anchor=\"end\">1e{5}</text>\n",
        kLeft,
        kWidth - kRight,
        y,
        kLeft - 8,
        y + 4,
        decade);
  }
  return svg;
}

// Column numbers count from 1 within their group.
std::string columns(const Axis& axis, const std::vector<Split>& splits) {
  std::string svg;
  for (size_t i = 0; i < splits.size(); ++i) {
    const size_t begin = splits[i].column;
    const size_t end = i + 1 < splits.size() ? splits[i + 1].column : axis.columns;
    const double left =
        (axis.x(begin) + (begin == 0 ? 2 * kLeft - axis.x(0) : axis.x(begin - 1))) / 2;
    if (i > 0) {
      svg += fmt::format(
          "<line class=\"split\" x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1}\" y2=\"{2}\"/>\n",
          left,
          kTop - 14,
          kHeight - kBottom);
    }
    svg += fmt::format(
        "<text x=\"{:.1f}\" y=\"{}\">{}</text>\n", left + 6, kTop - 8, escaped(splits[i].name));
    const size_t step = std::max<size_t>(1, (axis.columns + 19) / 20);
    for (size_t column = begin; column < end; column += step) {
      svg += fmt::format("<text x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n",
                         axis.x(column),
                         kHeight - kBottom + 18,
                         column - begin + 1);
    }
  }
  return svg;
}

std::string line(const Axis& axis, const Series& series, size_t index) {
  std::string path;
  std::string dots;
  bool drawing = false;
  for (size_t column = 0; column < series.values.size(); ++column) {
    const std::optional<double>& value = series.values[column];
    if (!value || !std::isfinite(*value)) {
      drawing = false;
      continue;
    }
    const double x = axis.x(column);
    const double y = axis.y(*value);
    path += fmt::format("{}{:.1f} {:.1f}", drawing ? "L" : "M", x, y);
    drawing = true;
    dots +=
        fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\"><title>{}: {}</title></circle>\n",
                    x,
                    y,
                    escaped(series.name),
                    number(*value));
  }
  return path.empty()
             ? std::string()
             : fmt::format(
                   "<g class=\"s{}\"><path d=\"{}\"/>\n{}</g>\n", index % kPlotColors, path, dots);
}

}  // namespace

std::string log_plot(std::string_view title,
                     std::string_view x_title,
                     const std::vector<Split>& splits,
                     const std::vector<Series>& series) {
  const Axis axis = axis_of(series);
  std::string svg = fmt::format(
      "<figure class=\"plot\"><figcaption>{}</figcaption>\n<div class=\"scroll\">"
      "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">\n",
      escaped(title),
      kWidth,
      kHeight,
      escaped(title));
  svg += grid(axis) + columns(axis, splits);
  for (size_t i = 0; i < series.size(); ++i) {
    svg += line(axis, series[i], i);
  }
  svg += fmt::format("<text x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n</svg></div>\n",
                     (kLeft + kWidth - kRight) / 2,
                     kHeight - 6,
                     escaped(x_title));
  svg += "<p class=\"legend\">";
  for (size_t i = 0; i < series.size(); ++i) {
    svg += fmt::format(
        "<span class=\"s{0}\"><svg viewBox=\"0 0 28 10\" aria-hidden=\"true\">"
        "<path d=\"M0 5L28 5\"/></svg>{1}</span> ",
        i % kPlotColors,
        escaped(series[i].name));
  }
  return svg + "</p></figure>\n";
}

}  // namespace lorapress::html
