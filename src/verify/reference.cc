#include "verify/reference.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <type_traits>

#include "base/fail.h"
#include "verify/reference_decoder.h"
#include "verify/reference_placeholder.h"
#include "verify/reference_vision.h"

namespace lorapress {
namespace {

using reference::Sequence;
using reference::Span;

int64_t next_token(std::span<const float> logits,
                   const ChooseFn& choose,
                   size_t image,
                   std::span<const int64_t> generated) {
  const bool finite = std::ranges::all_of(logits, [](float value) { return std::isfinite(value); });
  if (!finite) {
    fail(ErrorCode::kRuntime,
         "the checkpoint's own weights give logits that are not finite; look for NaN in them");
  }
  return choose ? choose(image, generated, logits)
                : std::ranges::max_element(logits) - logits.begin();
}

template <typename T>
void append_row(BasicRows<T>& rows, std::span<const T> row) {
  rows.cols = std::ssize(row);
  rows.values.insert(rows.values.end(), row.begin(), row.end());
  ++rows.rows;
}

template <typename T>
void append_rows(BasicRows<T>& rows, const BasicRows<T>& more) {
  rows.cols = more.cols;
  rows.values.insert(rows.values.end(), more.values.begin(), more.values.end());
  rows.rows += more.rows;
}

Rows rounded(const BasicRows<double>& rows) {
  Rows floats(rows.rows, rows.cols);
  std::ranges::transform(
      rows.values, floats.values.begin(), [](double value) { return static_cast<float>(value); });
  return floats;
}
Rows rounded(Rows rows) {
  return rows;
}

}  // namespace

struct ReferenceModel::Impl {
  Impl(const Checkpoint& checkpoint, ReferenceOptions options)
      : weights(checkpoint),
        decoder(checkpoint, weights),
        cross(checkpoint.composite != nullptr &&
              checkpoint.composite->conditioning == Conditioning::kCross),
        start_token(options.decoder_start_token_id),
        context{options.threads, std::move(options.on_layer), {}} {
    if (checkpoint.vision) {
      vision.emplace(checkpoint, weights, cross ? decoder.hidden_size() : decoder.embedding_size());
    }
    weights.finish({""});
  }

  template <typename T>
  [[nodiscard]] BasicRows<T> logits_of_rows(const reference::Context& how,
                                            const BasicRows<T>& hidden,
                                            std::span<const int64_t> wanted) const {
    BasicRows<T> picked;
    for (const int64_t row : wanted) {
      append_row<T>(picked, hidden.row(row));
    }
    return decoder.head(how, picked);
  }

  template <typename T>
  [[nodiscard]] std::vector<Rows> logits(const reference::Context& how,
                                         const std::vector<BasicRows<T>>& prefixes,
                                         const std::vector<std::vector<int64_t>>& forced,
                                         bool after_last) const;
  // Image tokens of each image; an image is one tile or several.
  template <typename T>
  [[nodiscard]] std::vector<BasicRows<T>> encode(
      const reference::Context& how, const std::vector<std::vector<float>>& pixel_values) const;
  template <typename T>
  [[nodiscard]] std::vector<BasicRows<T>> join(const std::vector<BasicRows<T>>& image_tokens,
                                               const std::vector<ReferencePrompt>& prompts) const;
  template <typename T>
  [[nodiscard]] ForcedPass pass(const reference::Context& how,
                                const std::vector<std::vector<float>>& pixel_values,
                                const std::vector<std::vector<int64_t>>& forced,
                                const std::vector<ReferencePrompt>& prompts) const {
    const std::vector<BasicRows<T>> tokens = encode<T>(how, pixel_values);
    ForcedPass made;
    made.logits = logits(how, prompts.empty() ? tokens : join(tokens, prompts), forced, false);
    for (const BasicRows<T>& prefix : tokens) {
      made.prefixes.push_back(rounded(prefix));
    }
    return made;
  }

  template <typename T>
  void append_embedding(BasicRows<T>& rows, int64_t id) const {
    std::vector<T> embedding(static_cast<size_t>(decoder.embedding_size()));
    decoder.embed<T>(id, embedding);
    append_row<T>(rows, embedding);
  }

  // Adds what a sequence begins with: its image tokens, or with cross attention the start token.
  template <typename T>
  [[nodiscard]] Span<T> begin(BasicRows<T>& embeddings,
                              const BasicRows<T>& prefix,
                              Sequence<T>& sequence) const {
    if (!cross) {
      append_rows(embeddings, prefix);
      return {&sequence, prefix.rows, {}};
    }
    sequence.states = &prefix;
    append_embedding(embeddings, start_token);
    return {&sequence, 1, {start_token}};
  }

  // The number of rows of logits that take 32 MB in double.
  [[nodiscard]] size_t head_rows() const {
    return static_cast<size_t>(std::max<int64_t>(1, (int64_t{1} << 22) / decoder.vocab_size()));
  }

  WeightTaker weights;
  reference::AnyDecoder decoder;
  bool cross;
  int64_t start_token;
  std::optional<reference::VisionTower> vision;  // none of a decoder alone
  reference::Context context;
};

ReferenceModel::ReferenceModel(const Checkpoint& checkpoint, ReferenceOptions options)
    : impl_(std::make_unique<Impl>(checkpoint, std::move(options))) {}
ReferenceModel::~ReferenceModel() = default;
ReferenceModel::ReferenceModel(ReferenceModel&&) noexcept = default;

void ReferenceModel::on_linear_input(LinearInputFn listener) {
  impl_->context.listener = std::move(listener);
}

template <typename T>
std::vector<BasicRows<T>> ReferenceModel::Impl::encode(
    const reference::Context& how, const std::vector<std::vector<float>>& pixel_values) const {
  if (!vision) {
    return std::vector<BasicRows<T>>(pixel_values.size());
  }
  const size_t plane = vision->values_per_tile();
  std::vector<std::vector<float>> tiles;
  for (const std::vector<float>& image : pixel_values) {
    for (size_t at = 0; at < image.size(); at += plane) {
      const auto first = image.begin() + static_cast<std::ptrdiff_t>(at);
      const auto count = std::min(plane, image.size() - at);
      tiles.emplace_back(first, first + static_cast<std::ptrdiff_t>(count));
    }
  }
  const BasicRows<T> tokens = vision->forward<T>(how, tiles);
  std::vector<BasicRows<T>> images;
  auto next = tokens.values.begin();
  for (const std::vector<float>& image : pixel_values) {
    const auto count = static_cast<int64_t>(image.size() / plane) * vision->tokens_per_tile();
    BasicRows<T> rows(count, tokens.cols);
    std::copy_n(next, count * tokens.cols, rows.values.begin());
    next += count * tokens.cols;
    images.push_back(std::move(rows));
  }
  return images;
}

std::vector<Rows> ReferenceModel::encode(
    const std::vector<std::vector<float>>& pixel_values) const {
  return impl_->encode<float>(impl_->context, pixel_values);
}

Rows ReferenceModel::encode_masked(std::span<const float> pixel_values,
                                   std::span<const uint8_t> seen) const {
  reference::Context how = impl_->context;
  how.listener = {};
  return rounded(impl_->vision->forward<double>(
      how, {{pixel_values.begin(), pixel_values.end()}}, {{seen.begin(), seen.end()}}));
}

template <typename T>
std::vector<BasicRows<T>> ReferenceModel::Impl::join(
    const std::vector<BasicRows<T>>& image_tokens,
    const std::vector<ReferencePrompt>& prompts) const {
  std::vector<BasicRows<T>> prefixes;
  for (size_t i = 0; i < image_tokens.size(); ++i) {
    prefixes.push_back(reference::joined(decoder, image_tokens[i], prompts.at(i)));
  }
  return prefixes;
}

std::vector<Rows> ReferenceModel::join(const std::vector<Rows>& image_tokens,
                                       const std::vector<ReferencePrompt>& prompts) const {
  return impl_->join(image_tokens, prompts);
}

template <typename T>
std::vector<Rows> ReferenceModel::Impl::logits(const reference::Context& how,
                                               const std::vector<BasicRows<T>>& prefixes,
                                               const std::vector<std::vector<int64_t>>& forced,
                                               bool after_last) const {
  BasicRows<T> embeddings;
  std::vector<Sequence<T>> sequences(prefixes.size());
  std::vector<Span<T>> spans;
  std::vector<int64_t> wanted;  // rows whose logits are asked for
  std::vector<int64_t> counts;  // of those, for each image
  for (size_t i = 0; i < prefixes.size(); ++i) {
    Span<T> span = begin(embeddings, prefixes[i], sequences[i]);
    wanted.push_back(embeddings.rows - 1);
    const std::vector<int64_t>& ids = forced.at(i);
    const size_t inputs = ids.empty() || after_last ? ids.size() : ids.size() - 1;
    for (size_t t = 0; t < inputs; ++t) {
      append_embedding(embeddings, ids[t]);
      wanted.push_back(embeddings.rows - 1);
      span.ids.push_back(ids[t]);
      ++span.rows;
    }
    counts.push_back(1 + static_cast<int64_t>(inputs));
    spans.push_back(std::move(span));
  }
  const BasicRows<T> hidden = decoder.forward(how, std::move(embeddings), spans, false);
  // Logits in double are large, so the head is read once for every few rows.
  const size_t most = std::is_same_v<T, float> ? wanted.size() : head_rows();
  std::vector<Rows> answers(prefixes.size());
  size_t image = 0;
  for (size_t first = 0; first < wanted.size(); first += most) {
    const size_t count = std::min(most, wanted.size() - first);
    const Rows part = rounded(logits_of_rows(how, hidden, std::span(wanted).subspan(first, count)));
    for (int64_t row = 0; row < part.rows; ++row) {
      while (answers[image].rows == counts[image]) {
        ++image;
      }
      append_row(answers[image], part.row(row));
    }
  }
  return answers;
}

std::vector<Rows> ReferenceModel::logits(const std::vector<Rows>& prefixes,
                                         const std::vector<std::vector<int64_t>>& forced,
                                         bool after_last) const {
  return impl_->logits(impl_->context, prefixes, forced, after_last);
}

ForcedPass ReferenceModel::forced(const std::vector<std::vector<float>>& pixel_values,
                                  const std::vector<std::vector<int64_t>>& forced,
                                  Arithmetic arithmetic,
                                  const std::vector<ReferencePrompt>& prompts) const {
  reference::Context how = impl_->context;
  how.listener = {};
  how.as_float16 = arithmetic == Arithmetic::kFloat16;
  return arithmetic == Arithmetic::kFloat64
             ? impl_->pass<double>(how, pixel_values, forced, prompts)
             : impl_->pass<float>(how, pixel_values, forced, prompts);
}

std::vector<ReferenceCaption> ReferenceModel::greedy(const std::vector<Rows>& prefixes,
                                                     int64_t max_new_tokens,
                                                     const std::vector<int64_t>& eos_token_ids,
                                                     const ChooseFn& choose) const {
  const reference::AnyDecoder& decoder = impl_->decoder;
  std::vector<ReferenceCaption> captions(prefixes.size());
  std::vector<Sequence<float>> sequences(prefixes.size());
  std::vector<size_t> running;
  Rows embeddings;
  std::vector<Span<float>> spans;
  for (size_t i = 0; i < prefixes.size(); ++i) {
    spans.push_back(impl_->begin(embeddings, prefixes[i], sequences[i]));
    running.push_back(i);
  }
  for (int64_t step = 0; step < max_new_tokens && !running.empty(); ++step) {
    std::vector<int64_t> last;
    int64_t row = -1;
    for (const Span<float>& span : spans) {
      last.push_back(row += span.rows);
    }
    const Rows hidden = decoder.forward(impl_->context, std::move(embeddings), spans, true);
    const Rows logits = impl_->logits_of_rows<float>(impl_->context, hidden, last);
    std::vector<size_t> unfinished;
    embeddings = Rows();
    spans.clear();
    for (size_t at = 0; at < running.size(); ++at) {
      ReferenceCaption& caption = captions[running[at]];
      const auto line = logits.row(static_cast<int64_t>(at));
      const int64_t id = next_token(line, choose, running[at], caption.ids);
      append_row<float>(caption.logits, line);
      caption.ids.push_back(id);
      if (std::ranges::find(eos_token_ids, id) == eos_token_ids.end()) {
        unfinished.push_back(running[at]);
        impl_->append_embedding(embeddings, id);
        spans.push_back({&sequences[running[at]], 1, {id}});
      }
    }
    running = std::move(unfinished);
  }
  return captions;
}

}  // namespace lorapress
