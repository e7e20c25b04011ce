#include "verify/reference.h"

#include <algorithm>
#include <cmath>

#include "base/fail.h"
#include "verify/reference_text.h"
#include "verify/reference_vision.h"

namespace lorapress {
namespace {

using reference::Sequence;
using reference::Span;

int64_t next_token(std::span<const float> logits,
                   const ChooseFn& choose,
                   std::span<const int64_t> generated) {
  const bool finite = std::ranges::all_of(logits, [](float value) { return std::isfinite(value); });
  if (!finite) {
    fail(ErrorCode::kRuntime,
         "the checkpoint's own weights give logits that are not finite; look for NaN in them");
  }
  return choose ? choose(generated, logits) : std::ranges::max_element(logits) - logits.begin();
}

void append_row(Rows& rows, std::span<const float> row) {
  rows.cols = std::ssize(row);
  rows.values.insert(rows.values.end(), row.begin(), row.end());
  ++rows.rows;
}

void append_rows(Rows& rows, const Rows& more) {
  rows.cols = more.cols;
  rows.values.insert(rows.values.end(), more.values.begin(), more.values.end());
  rows.rows += more.rows;
}

}  // namespace

struct ReferenceModel::Impl {
  Impl(const Checkpoint& checkpoint, ReferenceOptions options)
      : weights(checkpoint),
        vision(checkpoint, weights),
        decoder(checkpoint, weights),
        context{options.threads, std::move(options.on_layer), {}} {
    weights.finish({""});
  }

  [[nodiscard]] Rows logits_of_rows(const Rows& hidden, const std::vector<int64_t>& wanted) const {
    Rows picked;
    for (const int64_t row : wanted) {
      append_row(picked, hidden.row(row));
    }
    return decoder.head(context, picked);
  }

  WeightTaker weights;
  reference::VisionTower vision;
  reference::Decoder decoder;
  reference::Context context;
};

ReferenceModel::ReferenceModel(const Checkpoint& checkpoint, ReferenceOptions options)
    : impl_(std::make_unique<Impl>(checkpoint, std::move(options))) {}
ReferenceModel::~ReferenceModel() = default;
ReferenceModel::ReferenceModel(ReferenceModel&&) noexcept = default;

void ReferenceModel::on_linear_input(LinearInputFn listener) {
  impl_->context.listener = std::move(listener);
}

std::vector<Rows> ReferenceModel::encode(
    const std::vector<std::vector<float>>& pixel_values) const {
  const Rows tokens = impl_->vision.forward(impl_->context, pixel_values);
  const int64_t each = impl_->vision.tokens_per_image();
  std::vector<Rows> prefixes;
  for (int64_t image = 0; image < std::ssize(pixel_values); ++image) {
    Rows prefix(each, tokens.cols);
    std::copy_n(tokens.values.begin() + image * each * tokens.cols,
                each * tokens.cols,
                prefix.values.begin());
    prefixes.push_back(std::move(prefix));
  }
  return prefixes;
}

std::vector<Rows> ReferenceModel::logits(const std::vector<Rows>& prefixes,
                                         const std::vector<std::vector<int64_t>>& forced,
                                         bool after_last) const {
  const reference::Decoder& decoder = impl_->decoder;
  Rows embeddings;
  std::vector<float> embedding(static_cast<size_t>(decoder.hidden_size()));
  std::vector<Sequence> sequences(prefixes.size());
  std::vector<Span> spans;
  std::vector<int64_t> wanted;  // rows whose logits are asked for
  for (size_t i = 0; i < prefixes.size(); ++i) {
    append_rows(embeddings, prefixes[i]);
    wanted.push_back(embeddings.rows - 1);
    const std::vector<int64_t>& ids = forced.at(i);
    const size_t inputs = ids.empty() || after_last ? ids.size() : ids.size() - 1;
    for (size_t t = 0; t < inputs; ++t) {
      decoder.embed(ids[t], embedding);
      append_row(embeddings, embedding);
      wanted.push_back(embeddings.rows - 1);
    }
    spans.push_back({&sequences[i], prefixes[i].rows + static_cast<int64_t>(inputs)});
  }
  const Rows hidden = decoder.forward(impl_->context, std::move(embeddings), spans, false);
  const Rows all = impl_->logits_of_rows(hidden, wanted);
  std::vector<Rows> answers;
  int64_t row = 0;
  for (size_t i = 0; i < prefixes.size(); ++i) {
    Rows answer;
    for (const int64_t end = row + 1 + spans[i].rows - prefixes[i].rows; row < end; ++row) {
      append_row(answer, all.row(row));
    }
    answers.push_back(std::move(answer));
  }
  return answers;
}

std::vector<ReferenceCaption> ReferenceModel::greedy(const std::vector<Rows>& prefixes,
                                                     int64_t max_new_tokens,
                                                     const std::vector<int64_t>& eos_token_ids,
                                                     const ChooseFn& choose) const {
  const reference::Decoder& decoder = impl_->decoder;
  std::vector<ReferenceCaption> captions(prefixes.size());
  std::vector<Sequence> sequences(prefixes.size());
  std::vector<size_t> running;
  Rows embeddings;
  std::vector<float> embedding(static_cast<size_t>(decoder.hidden_size()));
  for (size_t i = 0; i < prefixes.size(); ++i) {
    append_rows(embeddings, prefixes[i]);
    running.push_back(i);
  }
  for (int64_t step = 0; step < max_new_tokens && !running.empty(); ++step) {
    std::vector<Span> spans;
    std::vector<int64_t> last;
    int64_t row = -1;
    for (const size_t i : running) {
      spans.push_back({&sequences[i], step == 0 ? prefixes[i].rows : 1});
      last.push_back(row += spans.back().rows);
    }
    const Rows hidden = decoder.forward(impl_->context, std::move(embeddings), spans, true);
    const Rows logits = impl_->logits_of_rows(hidden, last);
    std::vector<size_t> unfinished;
    embeddings = Rows();
    for (size_t at = 0; at < running.size(); ++at) {
      ReferenceCaption& caption = captions[running[at]];
      const auto line = logits.row(static_cast<int64_t>(at));
      const int64_t id = next_token(line, choose, caption.ids);
      append_row(caption.logits, line);
      caption.ids.push_back(id);
      if (std::ranges::find(eos_token_ids, id) == eos_token_ids.end()) {
        unfinished.push_back(running[at]);
        decoder.embed(id, embedding);
        append_row(embeddings, embedding);
      }
    }
    running = std::move(unfinished);
  }
  return captions;
}

}  // namespace lorapress
