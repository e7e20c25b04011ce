#include <algorithm>

#include "blocks/generation.h"
#include "blocks/shapes.h"

namespace lorapress {
namespace {

constexpr float kNever = -1.0e9F;  // transformers' score of forbidden choices

// The values that the loop carries besides the cache, in the order of its inputs. B rows of the
// batch, K beams, r beams that run (1 in the first iteration, then K), t tokens so far.
enum Carried : size_t {
  kEmbeddings,     // [B * r, sequence, hidden]
  kRunning,        // int64 [B * r, t]: running sequences
  kRunningScores,  // [B, r]: sums of log probabilities
  kFinished,       // int64 [B, K, t]: the best ended sequences, padded
  kScores,         // [B, K]: their scores, divided by length ^ length_penalty; descending
  kIsFinished,     // bool [B, K]
  kLengths,        // int64 [B, K]
  kImprovable,     // bool [B, 1]: whether a running beam may still beat the worst finished one
  kCarriedCount,
};

class BeamSearch {
 public:
  BeamSearch(const Builder& b,
             const std::string& scope,
             const Generation& generation,
             const LoopBeams& options)
      : b_(b),
        graph_(b.graph),
        scope_(scope),
        generation_(generation),
        options_(options),
        beams_(options.num_beams) {
    const auto ends = static_cast<int64_t>(generation.eos_token_ids.size());
    candidates_ = std::max<int64_t>(2, 1 + ends) * beams_;
    batch_ = length_of(b, scope + "/batch_size", generation.prefix, 0);
  }

  Value run() {
    const std::vector<Value> inputs = initial();
    std::vector<Graph::BodyInput> ports{{"iteration", DType::kI64, {}},
                                        {"condition", DType::kBool, {}}};
    static constexpr std::array kNames{"embeddings",
                                       "running",
                                       "running_scores",
                                       "finished",
                                       "scores",
                                       "is_finished",
                                       "lengths",
                                       "improvable"};
    for (size_t i = 2; i < inputs.size(); ++i) {
      const size_t at = i - 2;
      ports.push_back({at < kCarriedCount ? std::string(kNames.at(at))
                                          : "cache." + std::to_string(at - kCarriedCount),
                       inputs[i].type.dtype,
                       port_dims(at, inputs[i])});
    }
    const BodyPtr body = graph_.body(
        name("body"), ports, [this](const std::vector<Value>& values) { return step(values); });
    const std::vector<Value> last = graph_.loop(name("Loop"), inputs, body);
    return best_of(last.at(kFinished), last.at(kLengths));
  }

 private:
  [[nodiscard]] std::string name(const std::string& what) const { return scope_ + "/" + what; }

  std::vector<Value> initial() {
    const Value one = graph_.integers({1});
    const Value none = graph_.integers({0});
    const Value beams = graph_.integers({beams_});
    const auto fill = [&](const char* what, const Value& scalar, std::vector<Value> dims) {
      dims.insert(dims.begin(), batch_);
      return filled(b_, name(what), scalar, dims);
    };
    // transformers fills with `pad_token_id or eos_token_id[0]`, which treats a pad of 0 as absent.
    const int64_t pad =
        generation_.pad_token_id != 0 ? generation_.pad_token_id : generation_.eos_token_ids.at(0);
    padding_ = fill("padding", graph_.integer(pad), {beams, one});
    std::vector<Value> values{generation_.max_new_tokens,
                              graph_.boolean(true),
                              generation_.prefix,
                              fill("no_ids", graph_.integer(0), {none}),
                              fill("no_score", graph_.scalar(0.0F), {one}),
                              fill("no_sequences", graph_.integer(0), {beams, none}),
                              fill("no_scores", graph_.scalar(kNever), {beams}),
                              fill("none_finished", graph_.boolean(false), {beams}),
                              fill("no_lengths", graph_.integer(0), {beams}),
                              fill("all_improvable", graph_.boolean(true), {one})};
    std::ranges::copy(flatten_cache(generation_.empty_past), std::back_inserter(values));
    return values;
  }

  [[nodiscard]] Dims port_dims(size_t at, const Value& initial) const {
    switch (at) {
      case kEmbeddings:
        return {Dim(), Dim(), generation_.prefix.dim(2)};
      case kFinished:
        return {Dim(), beams_, Dim()};
      case kScores:
      case kIsFinished:
      case kLengths:
        return {Dim(), beams_};
      case kImprovable:
        return {Dim(), 1};
      case kRunning:
      case kRunningScores:
        return {Dim(), Dim()};
      default:
        return {Dim(), initial.dim(1), Dim(), initial.dim(3)};
    }
  }

  // values [B, n, ...], indices [B, m] -> [B, m, ...]
  Value take(const std::string& what, const Value& values, const Value& indices) {
    const Value column =
        graph_.op("Unsqueeze", name(what + "/index"), {indices, graph_.integers({2})});
    return graph_.op("GatherND", name(what), {values, column}, {{"batch_dims", int64_t{1}}});
  }

  std::pair<Value, Value> top(const std::string& what, const Value& x, int64_t k) {
    const std::vector<Value> found =
        graph_.ops("TopK", name(what), {x, graph_.integers({k})}, {{"axis", int64_t{-1}}}, {0, 1});
    return {found[0], found[1]};
  }

  Value join(const std::string& what, const Value& left, const Value& right, int64_t axis) {
    return graph_.op("Concat", name(what), {left, right}, {{"axis", axis}});
  }

  // Adds kNever where `mask` is set.
  Value mask_scores(const std::string& what, const Value& scores, const Value& mask) {
    const Value penalty = graph_.op(
        "Where", name(what + "/penalty"), {mask, graph_.scalar(kNever), graph_.scalar(0.0F)});
    return graph_.op("Add", name(what), {scores, penalty});
  }

  // length ^ length_penalty
  Value length_divisor(const std::string& what, const Value& length) {
    const Value tokens = to_dtype(b_, name(what), length, DType::kF32);
    if (options_.length_penalty == 1.0) {
      return tokens;
    }
    const Value exponent = graph_.scalar(static_cast<float>(options_.length_penalty));
    return graph_.op("Pow", name(what + "/power"), {tokens, exponent});
  }

  // bool [B, K] -> bool [B, 1]: whether all of a row's beams are finished
  Value are_full(const std::string& what, const Value& is_finished) {
    const Value open = to_dtype(b_,
                                name(what + "/open"),
                                graph_.op("Not", name(what + "/is_open"), {is_finished}),
                                DType::kI64);
    const auto [most, index] = top(what + "/any_open", open, 1);
    const Value any = to_dtype(b_, name(what + "/any"), most, DType::kBool);
    return graph_.op("Not", name(what), {any});
  }

  // The best `candidates_` continuations of a row's beams, best first.
  struct Candidates {
    Value scores;  // [B, candidates]
    Value row;     // int64 [B, candidates]: of the beam, among all B * r
    Value token;   // int64 [B, candidates]
    Value hits;    // bool [B, candidates]: ended, by its token or because the length is reached
  };

  //  logits ── LogSoftmax ── rules ── + running scores ── Reshape [B, r * vocab] ── TopK
  Candidates find_candidates(const Value& logits,
                             const std::vector<Value>& now,
                             const Value& iteration,
                             const Value& length) {
    const Value& scores = now[kRunningScores];
    const int64_t vocab = logits.dim(2).value;
    const Value beams = length_of(b_, name("running_beams"), scores, 1);
    const Value log_probs =
        apply_rules(b_,
                    name("rules"),
                    generation_.rules,
                    graph_.op("LogSoftmax", name("LogSoftmax"), {logits}, {{"axis", int64_t{-1}}}),
                    now[kRunning],
                    iteration,
                    generation_.max_new_tokens);
    const Value shape = graph_.op("Concat",
                                  name("beam_shape"),
                                  {batch_, beams, graph_.integers({vocab})},
                                  {{"axis", int64_t{0}}});
    const Value per_beam = graph_.op("Reshape", name("per_beam"), {log_probs, shape});
    const Value column =
        graph_.op("Unsqueeze", name("score_column"), {scores, graph_.integers({2})});
    const Value sums = graph_.op("Add", name("sums"), {per_beam, column});
    const Value flat_shape = graph_.op(
        "Concat", name("flat_shape"), {batch_, graph_.integers({-1})}, {{"axis", int64_t{0}}});
    const Value flat = graph_.op("Reshape", name("flat_sums"), {sums, flat_shape});
    const auto [best, index] = top("candidates", flat, candidates_);
    Candidates found;
    found.scores = best;
    found.token = graph_.op("Mod", name("token"), {index, graph_.integer(vocab)});
    const Value beam = graph_.op("Div", name("beam"), {index, graph_.integer(vocab)});
    const Value zero = graph_.integer(0);
    const Value count = graph_.op("Squeeze", name("batch_scalar"), {batch_, graph_.integers({0})});
    const Value rows = graph_.op("Range", name("rows"), {zero, count, graph_.integer(1)});
    const Value firsts = graph_.op("Mul", name("first_rows"), {rows, beams});
    const Value offset = graph_.op("Unsqueeze", name("row_offset"), {firsts, graph_.integers({1})});
    found.row = graph_.op("Add", name("beam_row"), {beam, offset});
    const Value full = graph_.op("Equal", name("is_full"), {length, generation_.max_new_tokens});
    const Value at_end = is_one_of(b_, name("at_end"), found.token, generation_.eos_token_ids);
    found.hits = graph_.op("Or", name("hits"), {at_end, full});
    return found;
  }

  // The best K candidates that have not ended, which keep running.
  void choose_running(const Candidates& found,
                      const Value& sequences,
                      const std::vector<Value>& cache,
                      std::vector<Value>& next) {
    const auto [scores, chosen] =
        top("choose_running", mask_scores("open_scores", found.scores, found.hits), beams_);
    const auto flat = [&](const std::string& what, const Value& x, std::vector<int64_t> shape) {
      return graph_.op("Reshape", name(what), {x, graph_.integers(shape)});
    };
    const Value row = flat("next_rows", take("next_row", found.row, chosen), {-1});
    const Value token = flat("next_tokens", take("next_token", found.token, chosen), {-1, 1});
    const auto gather = [&](const std::string& what, const Value& x, const Value& rows) {
      return graph_.op("Gather", name(what), {x, rows}, {{"axis", int64_t{0}}});
    };
    next[kEmbeddings] = gather("embed_token", generation_.table, token);
    next[kRunning] = join("append", gather("running_so_far", sequences, row), token, 1);
    next[kRunningScores] = scores;
    for (size_t i = 0; i < cache.size(); ++i) {
      next.push_back(gather("reorder_cache." + std::to_string(i), cache[i], row));
    }
  }

  // The best K of the sequences that ended before and those of the first K candidates that end now.
  void choose_finished(const std::vector<Value>& now,
                       const Candidates& found,
                       const Value& length,
                       std::vector<Value>& next) {
    std::vector<std::byte> first(static_cast<size_t>(candidates_), std::byte{0});
    std::fill_n(first.begin(), beams_, std::byte{1});
    const Value among_first = graph_.initializer(
        name("among_first"), constant_weight(DType::kBool, {candidates_}, std::move(first)));
    const Value ends = graph_.op("And", name("ends_now"), {found.hits, among_first});
    const Value divisor = length_divisor("length_float", length);
    Value scores = graph_.op("Div", name("length_penalty"), {found.scores, divisor});
    if (options_.first_are_enough) {
      scores = mask_scores("not_full", scores, are_full("were_full", now[kIsFinished]));
    }
    scores =
        mask_scores("improving", scores, graph_.op("Not", name("settled"), {now[kImprovable]}));
    scores = mask_scores("ending", scores, graph_.op("Not", name("goes_on"), {ends}));
    const Value so_far = graph_.op(
        "Gather", name("candidates_so_far"), {now[kRunning], found.row}, {{"axis", int64_t{0}}});
    const Value last =
        graph_.op("Unsqueeze", name("last_token"), {found.token, graph_.integers({2})});
    const Value sequences = join("candidate_ids", so_far, last, 2);
    const Value padded = join("pad_finished", now[kFinished], padding_, 2);
    const auto [best, chosen] =
        top("choose_finished", join("all_scores", now[kScores], scores, 1), beams_);
    const Value width = graph_.op("Shape", name("candidate_shape"), {found.token});
    const Value lengths = graph_.op("Expand", name("candidate_lengths"), {length, width});
    next[kFinished] = take("finished", join("all_sequences", padded, sequences, 1), chosen);
    next[kScores] = best;
    next[kIsFinished] = take("is_finished", join("all_ended", now[kIsFinished], ends, 1), chosen);
    next[kLengths] = take("lengths", join("all_lengths", now[kLengths], lengths, 1), chosen);
  }

  // improvable' = improvable and any(best running score / length > (finished ? worst score :
  // never))
  Value still_improvable(const Value& before, const std::vector<Value>& next, const Value& length) {
    const auto column = [&](const std::string& what, const Value& x, int64_t at) {
      return graph_.op("Gather", name(what), {x, graph_.integers({at})}, {{"axis", int64_t{1}}});
    };
    const Value best = column("best_running", next[kRunningScores], 0);
    const bool at_the_end = options_.only_the_best_ends && options_.length_penalty > 0.0;
    const Value divisor =
        length_divisor("best_length", at_the_end ? generation_.max_new_tokens : length);
    const Value reachable = graph_.op("Div", name("reachable"), {best, divisor});
    const Value worst = column("worst_score", next[kScores], beams_ - 1);
    const Value to_beat =
        graph_.op("Where", name("to_beat"), {next[kIsFinished], worst, graph_.scalar(kNever)});
    const Value beats = to_dtype(b_,
                                 name("beats"),
                                 graph_.op("Greater", name("Greater"), {reachable, to_beat}),
                                 DType::kI64);
    const auto [most, index] = top("beats_any", beats, 1);
    const Value any = to_dtype(b_, name("any_beats"), most, DType::kBool);
    return graph_.op("And", name("improvable"), {before, any});
  }

  std::vector<Value> step(const std::vector<Value>& values) {
    const std::vector<Value> now(values.begin() + 2, values.begin() + 2 + kCarriedCount);
    const DecoderOutput output = generation_.step(
        now[kEmbeddings], pair_cache(std::span(values).subspan(2 + kCarriedCount)));
    const Value length = graph_.op("Add", name("length"), {values[0], graph_.integer(1)});
    const Candidates found = find_candidates(output.logits, now, values[0], length);
    std::vector<Value> next(kCarriedCount);
    choose_running(found, now[kRunning], flatten_cache(output.present), next);
    choose_finished(now, found, length, next);
    next[kImprovable] = still_improvable(now[kImprovable], next, length);
    const Value improvable = any_of(b_, name("any_improvable"), next[kImprovable]);
    const Value open =
        graph_.op("Not", name("any_open"), {all_of(b_, name("all_hit"), found.hits)});
    Value go_on = graph_.op("And", name("go_on"), {improvable, open});
    if (options_.first_are_enough) {
      const Value full = all_of(b_, name("all_full"), next[kIsFinished]);
      go_on =
          graph_.op("And", name("go_on_open"), {go_on, graph_.op("Not", name("not_all"), {full})});
    }
    next.insert(next.begin(), go_on);
    return next;
  }

  // finished [B, K, t], lengths [B, K] -> the first beam of each row, cut to the longest
  Value best_of(const Value& finished, const Value& lengths) {
    const auto first = [&](const std::string& what, const Value& x) {
      return graph_.op("Gather", name(what), {x, graph_.integer(0)}, {{"axis", int64_t{1}}});
    };
    const Value longest = graph_.op(
        "ReduceMax", name("longest"), {first("best_lengths", lengths)}, {{"keepdims", int64_t{0}}});
    const Value end = graph_.op("Unsqueeze", name("longest_end"), {longest, graph_.integers({0})});
    return graph_.op("Slice",
                     name("cut"),
                     {first("best", finished), graph_.integers({0}), end, graph_.integers({1})});
  }

  const Builder& b_;
  Graph& graph_;
  std::string scope_;
  const Generation& generation_;
  LoopBeams options_;
  int64_t beams_;
  int64_t candidates_ = 0;
  Value batch_;
  Value padding_;  // int64 [B, K, 1]
};

}  // namespace

// Carried and computed per iteration: see Carried, find_candidates, choose_running,
// choose_finished. The first iteration runs one beam per row; transformers runs K equal beams and
// bans all but the first, which is equivalent.
Value beam_search(const Builder& b,
                  const std::string& scope,
                  const Generation& generation,
                  const LoopBeams& beams) {
  return BeamSearch(b, scope, generation, beams).run();
}

}  // namespace lorapress
