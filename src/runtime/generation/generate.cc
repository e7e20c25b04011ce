#include "runtime/generation/generate.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/fail.h"
#include "base/stopwatch.h"

namespace lorapress {
namespace {

bool contains(std::span<const int64_t> ids, int64_t id) {
  return std::ranges::find(ids, id) != ids.end();
}

// Rows of all images, behind their first calls.
std::unique_ptr<Sequences> prefill_all(const Decoder& decoder,
                                       std::span<const std::unique_ptr<EncodedImage>> images,
                                       const GenerationRequest& request) {
  std::unique_ptr<Sequences> sequences =
      decoder.start({std::ssize(images),
                     request.beams.num_beams,
                     request.image_tokens + std::ssize(request.first_ids) - 1,
                     request.rules.max_new_tokens});
  for (size_t image = 0; image < images.size(); ++image) {
    sequences->prefill(static_cast<int64_t>(image), *images[image], request.first_ids);
  }
  return sequences;
}

// One token at a time. A row that has ended is fed its end token and its logits are ignored.
class TokenLoop {
 public:
  TokenLoop(const GenerationRequest& request, size_t rows)
      : request_(request),
        random_(rows, RandomNumbers(request.seed)),  // every image has its own generator
        rows_(rows),
        tokens_(rows),
        parents_(rows) {
    std::iota(parents_.begin(), parents_.end(), 0);
  }

  // Chooses every open row's next token; false when no row goes on.
  bool advance(Sequences& sequences, const TokenFn& on_token) {
    bool open = false;
    for (size_t row = 0; row < rows_.size(); ++row) {
      std::vector<int64_t>& ids = rows_[row].ids;
      if (has_ended(ids)) {
        continue;
      }
      const std::span<float> scores = sequences.logits(static_cast<int64_t>(row));
      apply_rules(request_.rules, ids, scores);
      ids.push_back(next(row, scores));
      tokens_[row] = ids.back();
      open = open || !has_ended(ids);
      if (on_token && !contains(request_.rules.eos_token_ids, ids.back())) {
        on_token(ids.back());
      }
    }
    return open;
  }

  // Each row continues itself.
  [[nodiscard]] const std::vector<int64_t>& parents() const { return parents_; }
  [[nodiscard]] const std::vector<int64_t>& tokens() const { return tokens_; }
  [[nodiscard]] std::vector<Generated> take() { return std::move(rows_); }

 private:
  [[nodiscard]] bool has_ended(const std::vector<int64_t>& ids) const {
    return std::ssize(ids) >= request_.rules.max_new_tokens ||
           (!ids.empty() && contains(request_.rules.eos_token_ids, ids.back()));
  }

  int64_t next(size_t row, std::span<float> scores) {
    if (!request_.do_sample) {
      return argmax(scores);
    }
    apply_filters(request_.filters, scores);
    return sample(scores, random_[row].next());
  }

  const GenerationRequest& request_;
  std::vector<RandomNumbers> random_;
  std::vector<Generated> rows_;
  std::vector<int64_t> tokens_;  // the last of each row
  std::vector<int64_t> parents_;
};

// Beams of several images. The rows of an image that is done keep running and are ignored.
class BeamLoop {
 public:
  BeamLoop(const GenerationRequest& request, size_t images)
      : rules_(request.rules), beams_(static_cast<size_t>(request.beams.num_beams)) {
    searches_.assign(images, BeamSearch(request.beams));
    tokens_.resize(images * beams_);
    parents_.resize(images * beams_);
  }

  // False when all images are done.
  bool advance(Sequences& sequences) {
    std::iota(parents_.begin(), parents_.end(), 0);
    bool open = false;
    for (size_t image = 0; image < searches_.size(); ++image) {
      if (!searches_[image].done()) {
        advance_image(sequences, image);
        open = open || !searches_[image].done();
      }
    }
    first_ = false;
    return open;
  }

  [[nodiscard]] const std::vector<int64_t>& parents() const { return parents_; }
  [[nodiscard]] const std::vector<int64_t>& tokens() const { return tokens_; }

  [[nodiscard]] std::vector<Generated> take() const {
    std::vector<Generated> results;
    for (const BeamSearch& search : searches_) {
      results.push_back({search.finished()[0].ids, search.finished()[0].score});
    }
    return results;
  }

 private:
  void advance_image(Sequences& sequences, size_t image) {
    BeamSearch& search = searches_[image];
    const size_t first_row = image * beams_;
    std::vector<std::span<const float>> rows;
    for (size_t beam = 0; beam < (first_ ? 1 : beams_); ++beam) {
      const std::span<float> scores = sequences.logits(static_cast<int64_t>(first_row + beam));
      log_softmax(scores);
      apply_rules(rules_, search.running()[beam].ids, scores);
      rows.emplace_back(scores);
    }
    search.advance(rows);
    if (std::isinf(search.running()[0].score) && !search.finished()[0].finished) {
      fail(ErrorCode::kRuntime, "no token is left to choose: the rules forbid every token");
    }
    for (size_t beam = 0; beam < beams_; ++beam) {
      tokens_[first_row + beam] = search.running()[beam].ids.back();
      parents_[first_row + beam] = static_cast<int64_t>(first_row) + search.parents()[beam];
    }
  }

  const TokenRules& rules_;
  size_t beams_;
  bool first_ = true;
  std::vector<BeamSearch> searches_;
  std::vector<int64_t> tokens_;
  std::vector<int64_t> parents_;  // rows
};

// `advance` chooses tokens and returns whether any row continues.
template <typename Loop, typename... Callback>
std::vector<Generated> run(Loop loop, Sequences& sequences, const Callback&... on_token) {
  while (loop.advance(sequences, on_token...)) {
    sequences.step(loop.parents(), loop.tokens());
  }
  return loop.take();
}

}  // namespace

std::vector<Generated> generate(const Decoder& decoder,
                                std::span<const std::unique_ptr<EncodedImage>> images,
                                const GenerationRequest& request,
                                GenerationTimes& times,
                                const TokenFn& on_token) {
  Stopwatch watch;
  const std::unique_ptr<Sequences> sequences = prefill_all(decoder, images, request);
  times.prefill_ms = 1000.0 * watch.lap();
  std::vector<Generated> results =
      request.beams.num_beams > 1 ? run(BeamLoop(request, images.size()), *sequences)
                                  : run(TokenLoop(request, images.size()), *sequences, on_token);
  times.decode_ms = 1000.0 * watch.lap();
  return results;
}

}  // namespace lorapress
