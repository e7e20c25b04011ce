// The table of what captions are worth against references.
#include <array>
#include <fmt/format.h>

#include "lorapress/verify.h"

#include "verify/report/html.h"

namespace lorapress::html {
namespace {

std::string cell(double value, int digits, const MetricDifference* difference) {
  std::string html = fmt::format("<td>{:.{}f}", value, digits);
  if (difference != nullptr) {
    html += fmt::format("<br><small>{:+.{}f} [{:+.{}f}, {:+.{}f}]</small>",
                        difference->value,
                        digits,
                        difference->low,
                        digits,
                        difference->high,
                        digits);
  }
  return html + "</td>";
}

std::string row(std::string_view name, const CaptionQuality& quality, bool compared) {
  const auto& [metrics, to] = quality;
  const auto with = [compared](const MetricDifference& difference) {
    return compared ? &difference : nullptr;
  };
  return "<tr><td>" + escaped(name) + "</td>" + cell(metrics.cider, 3, with(to.cider)) +
         cell(metrics.bleu[3], 3, with(to.bleu_4)) + cell(metrics.rouge_l, 3, with(to.rouge_l)) +
         cell(metrics.meteor, 3, with(to.meteor)) + cell(metrics.words, 2, with(to.words)) +
         "</tr>\n";
}

}  // namespace

std::string caption_quality(const VerifyReport& report) {
  if (!report.quality) {
    return "";
  }
  std::string html =
      "<h2>Captions against references</h2>\n<div class=\"scroll\"><table>\n<thead><tr><th></th><th>CIDEr-D</th>"
      "<th>BLEU-4</th><th>ROUGE-L</th><th>METEOR,<br>exact and stem</th><th>words</th></tr></thead>\n<tbody>\n";
  html += row("reference forward", *report.quality, false);
  for (const DtypeParity& dtype : report.dtypes) {
    if (dtype.quality) {
      html += row(dtype.name, *dtype.quality, true);
    }
  }
  return html +
         fmt::format(
             "</tbody></table></div>\n<p class=\"quiet\">Over {} images. Small: the difference to the reference "
             "forward and its 95 % interval, where images are drawn again (paired bootstrap). "
             "METEOR matches no synonyms and no paraphrases here.</p>\n",
             report.scored_images);
}

}  // namespace lorapress::html
