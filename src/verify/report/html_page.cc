// verify's report as one page: no script, no request, light and dark, wide and narrow.
#include <algorithm>
#include <fmt/format.h>

#include "lorapress/verify.h"

#include "verify/report/html.h"

namespace lorapress {
namespace {

using html::escaped;
using html::number;
using html::percent;

constexpr std::string_view kHead = R"html(<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<style>
:root {
  --back: #ffffff; --card: #f5f6f8; --text: #1c1e21; --quiet: #5b616b; --edge: #d8dbe0;
  --good: #176f43; --bad: #b3261e; --more: #ffe69a; --less: #b3261e;
  --s0: #1f5fbf; --s1: #c2410c; --s2: #15803d; --s3: #9333a8; --s4: #8a6d00; --s5: #0e7490;
}
@media (prefers-color-scheme: dark) {
  :root {
    --back: #14161a; --card: #1e2127; --text: #e7e9ec; --quiet: #a0a7b2; --edge: #363b44;
    --good: #5fd197; --bad: #ff9a90; --more: #6b5600; --less: #ff9a90;
    --s0: #7fb0ff; --s1: #ff9d66; --s2: #6fd68f; --s3: #dd98ee; --s4: #e3c75a; --s5: #66cfe4;
  }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 72rem; background: var(--back); color: var(--text);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.4rem; margin: .5rem 0; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
.quiet { color: var(--quiet); } .good { color: var(--good); } .bad { color: var(--bad); }
.verdict { font-weight: 600; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .7rem; border-bottom: 1px solid var(--edge); text-align: right; white-space: nowrap; }
th { color: var(--quiet); font-weight: 500; font-size: .85rem; vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
.plot { margin: 1rem 0; } .plot figcaption { font-weight: 500; }
.plot .scroll svg { display: block; min-width: 34rem; width: 100%; height: auto; }
.plot text { fill: var(--quiet); font-size: 12px; }
.grid { stroke: var(--edge); } .split { stroke: var(--quiet); stroke-dasharray: 2 4; }
.plot path { fill: none; stroke: currentColor; stroke-width: 2; } circle { fill: currentColor; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; margin: .3rem 0; font-size: .9rem; }
.legend svg { width: 28px; height: 10px; margin-right: .4rem; }
.s0 { color: var(--s0); } .s1 { color: var(--s1); } .s2 { color: var(--s2); }
.s3 { color: var(--s3); } .s4 { color: var(--s4); } .s5 { color: var(--s5); }
.s1 path { stroke-dasharray: 7 4; } .s2 path { stroke-dasharray: 2 3; }
.s3 path { stroke-dasharray: 9 3 2 3; } .s4 path { stroke-dasharray: 12 5; } .s5 path { stroke-dasharray: 4 4; }
.image { display: flex; flex-wrap: wrap; gap: 1rem; padding: 1rem; margin: 0 0 1rem; border-radius: .5rem; background: var(--card); }
.image img { width: 112px; height: 112px; object-fit: contain; image-rendering: auto; flex: none; }
.image > div { flex: 1 1 16rem; min-width: 0; }
.image h3 { margin: 0 0 .4rem; font-size: .9rem; font-weight: 500; color: var(--quiet); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; margin: 0; }
dt { color: var(--quiet); font-size: .9rem; } dd { margin: 0; min-width: 0; }
mark { background: var(--more); color: inherit; border-radius: .2rem; padding: 0 .15em; }
del { color: var(--less); }
@media (max-width: 30rem) { dl { grid-template-columns: 1fr; } dd { margin-bottom: .5rem; } }
</style>
)html";

std::string list(const std::vector<std::string>& lines) {
  std::string html = "<ul>\n";
  for (const std::string& line : lines) {
    html += "<li><bdi>" + escaped(line) + "</bdi></li>\n";
  }
  return html + "</ul>\n";
}

std::string verdict(bool passed) {
  return passed ? "<span class=\"verdict good\">pass</span>"
                : "<span class=\"verdict bad\">fail</span>";
}

std::string summary(const VerifyReport& report) {
  std::string html =
      "<h2>Dtypes</h2>\n<div class=\"scroll\"><table>\n<thead><tr><th>dtype</th><th>size</th>"
      "<th>tokens equal</th><th>captions equal</th><th>KL, mean</th><th>KL, largest</th>"
      "<th>logits, largest<br>difference</th><th>image tokens,<br>relative error</th><th></th></tr>"
      "</thead>\n<tbody>\n";
  for (const DtypeParity& dtype : report.dtypes) {
    const LogitDistance& forced = dtype.forced;
    html += fmt::format(
        "<tr><td>{}</td><td>{}</td><td>{}</td><td>{} of {}</td><td>{}</td><td>{}</td><td>{}</td>"
        "<td>{}</td><td>{}</td></tr>\n",
        escaped(dtype.name),
        html::megabytes(dtype.bytes),
        percent(forced.matched, forced.tokens),
        dtype.captions_equal,
        dtype.images.size(),
        number(forced.kl_mean),
        number(forced.kl_max),
        number(forced.largest_difference),
        number(dtype.prefix_error),
        verdict(dtype.passed));
  }
  return html +
         "</tbody></table></div>\n"
         "<p class=\"quiet\">Tokens: the most probable next token at every position of the "
         "reference&#39;s caption, which is forced on the file. Captions: the file running "
         "freely. KL: divergence of the next-token distribution from the reference&#39;s, in "
         "nats.</p>\n";
}

std::string dtype_names(const VerifyReport& report) {
  std::vector<std::string> names;
  for (const DtypeParity& dtype : report.dtypes) {
    names.push_back(dtype.name);
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

std::string faults(const VerifyReport& report) {
  std::vector<std::string> lines = report.faults;
  for (const DtypeParity& dtype : report.dtypes) {
    for (const std::string& fault : dtype.faults) {
      lines.push_back(dtype.name + ": " + fault);
    }
  }
  for (const VerifyImage& image : report.images) {
    if (!image.error.empty()) {
      lines.push_back("not read: " + image.error);
    }
  }
  return lines.empty() ? std::string() : "<h2 class=\"bad\">What is wrong</h2>\n" + list(lines);
}

std::string layer_plot(const VerifyReport& report) {
  std::vector<html::Split> splits;
  std::vector<html::Series> series;
  size_t encoder_layers = 0;
  for (const DtypeParity& dtype : report.dtypes) {
    for (const LayerError& error : dtype.layers) {
      if (error.encoder) {
        encoder_layers = std::max(encoder_layers, static_cast<size_t>(error.layer) + 1);
      }
    }
  }
  for (const DtypeParity& dtype : report.dtypes) {
    html::Series line{dtype.name, {}};
    for (const LayerError& error : dtype.layers) {
      const size_t at = static_cast<size_t>(error.layer) + (error.encoder ? 0 : encoder_layers);
      line.values.resize(std::max(line.values.size(), at + 1));
      line.values[at] = error.error;
    }
    series.push_back(std::move(line));
  }
  if (std::ranges::all_of(series, [](const html::Series& line) { return line.values.empty(); })) {
    return {};
  }
  if (encoder_layers > 0) {
    splits.push_back({0, "encoder"});
  }
  splits.push_back({encoder_layers, "decoder"});
  return html::log_plot(
      "Relative error of the hidden stream behind each layer", "layer", splits, series);
}

// The mean over the images whose caption reaches a position.
std::string position_plot(const VerifyReport& report) {
  std::vector<html::Series> series;
  for (const DtypeParity& dtype : report.dtypes) {
    std::vector<double> sums;
    std::vector<int64_t> counts;
    for (const ImageParity& image : dtype.images) {
      sums.resize(std::max(sums.size(), image.kl.size()));
      counts.resize(sums.size());
      for (size_t t = 0; t < image.kl.size(); ++t) {
        sums[t] += image.kl[t];
        ++counts[t];
      }
    }
    html::Series line{dtype.name, {}};
    for (size_t t = 0; t < sums.size(); ++t) {
      line.values.emplace_back(sums[t] / static_cast<double>(counts[t]));
    }
    series.push_back(std::move(line));
  }
  return html::log_plot("KL divergence of the next token from the reference, nats",
                        "position in the caption",
                        {{0, ""}},
                        series);
}

std::string caption_row(const DtypeParity& dtype,
                        const ImageParity& parity,
                        const VerifyImage& image) {
  const std::string caption =
      parity.caption_equal ? "<span class=\"good\">the same</span>"
      : parity.text == image.text
          ? "<span class=\"bad\">the same text of other tokens</span>"
          : "<bdi>" + html::marked_difference(image.text, parity.text) + "</bdi>";
  return fmt::format(
      "<dt>{}</dt><dd>{} <span class=\"quiet\">&middot; {} of {} tokens, KL {}</span></dd>\n",
      escaped(dtype.name),
      caption,
      parity.forced.matched,
      parity.forced.tokens,
      number(parity.forced.kl_mean));
}

std::string image_card(const VerifyReport& report, size_t index) {
  const VerifyImage& image = report.images[index];
  std::string html = "<article class=\"image\">\n";
  if (!image.thumbnail.empty()) {
    html +=
        fmt::format("<img src=\"{}\" alt=\"{}\">\n", escaped(image.thumbnail), escaped(image.name));
  }
  html += fmt::format("<div><h3><bdi>{}</bdi></h3>\n", escaped(image.name));
  if (!image.error.empty()) {
    return html + fmt::format("<p class=\"bad\"><bdi>{}</bdi></p></div>\n</article>\n",
                              escaped(image.error));
  }
  html += fmt::format("<dl>\n<dt>reference</dt><dd><bdi>{}</bdi></dd>\n",
                      image.text.empty() ? "(nothing)" : escaped(image.text));
  for (const DtypeParity& dtype : report.dtypes) {
    for (const ImageParity& parity : dtype.images) {
      if (parity.image == index) {
        html += caption_row(dtype, parity, image);
      }
    }
  }
  return html + "</dl></div>\n</article>\n";
}

// Pages of very many images show those that differ, and else the first.
std::string image_cards(const VerifyReport& report) {
  constexpr size_t kMost = 100;
  std::vector<bool> differs(report.images.size());
  for (const DtypeParity& dtype : report.dtypes) {
    for (const ImageParity& parity : dtype.images) {
      differs[parity.image] = differs[parity.image] || !parity.caption_equal;
    }
  }
  const bool all = report.images.size() <= kMost;
  std::string html = "<h2>Captions</h2>\n";
  size_t shown = 0;
  for (const bool wanted : {true, false}) {
    for (size_t i = 0; i < report.images.size() && shown < kMost; ++i) {
      if (all ? wanted : differs[i] == wanted) {
        html += image_card(report, i);
        ++shown;
      }
    }
  }
  if (!all) {
    html +=
        fmt::format("<p class=\"quiet\">{} of {} images are shown, those that differ first.</p>\n",
                    shown,
                    report.images.size());
  }
  return html;
}

}  // namespace

std::string verify_page(const VerifyReport& report, const std::string& title) {
  std::string html = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<title>" + escaped(title) +
                     ": parity with its checkpoint</title>\n";
  html += kHead;
  html += "</head>\n<body>\n<main>\n";
  html += fmt::format(
      "<h1><bdi>{}</bdi>: parity with its checkpoint</h1>\n<p>{} <span class=\"quiet\">&middot; {} "
      "images, dtypes {}, at most {} tokens each, against an independent float32 forward of the "
      "checkpoint</span></p>\n",
      escaped(title),
      verdict(report.passed),
      report.images.size(),
      escaped(dtype_names(report)),
      report.max_new_tokens);
  html += faults(report);
  html += summary(report) + html::caption_quality(report);
  html += "<h2>Where the error is</h2>\n" + layer_plot(report) + position_plot(report);
  html += image_cards(report);
  if (!report.notes.empty()) {
    html += "<h2>Notes</h2>\n" + list(report.notes);
  }
  return html + "</main>\n</body>\n</html>\n";
}

}  // namespace lorapress
