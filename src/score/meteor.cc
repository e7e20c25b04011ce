#include "score/meteor.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <set>
#include <sstream>

#include "score/english_stem.h"

namespace lorapress {
namespace {

constexpr double kAlpha = 0.85;
constexpr double kBeta = 0.20;
constexpr double kGamma = 0.60;
constexpr double kDelta = 0.75;
constexpr std::array<double, MeteorCounts::kModules> kWeights = {1.0, 0.6};
constexpr size_t kBeam = 40;

// Words that count a third of others: METEOR's list for English (its relative frequencies above 10^-3), as far as its
// normalisation lets them through.
bool is_function_word(const std::string& word) {
  static const std::set<std::string, std::less<>> words = {
      "the",   ",",     ".",   "to",    "of",    "and",   "a",      "in",   "that",  "for",
      "\"",    "is",    "on",  "'s",    "it",    "with",  "was",    "as",   "said",  "at",
      "he",    "by",    "be",  "from",  "have",  "has",   "are",    "his",  "but",   "an",
      "this",  "not",   "i",   "will",  "they",  ")",     "-rrb-",  "(",    "-lrb-", "who",
      "their", "had",   "we",  "which", "were",  "been",  "more",   "or",   "s",     "its",
      "would", "about", "new", "one",   "after", "you",   ":",      "also", "up",    "when",
      "there", "than",  "$",   "all",   "out",   "her",   "people", "she",  "year",  "two",
      "-",     "can",   "if",  "last",  "first", "over",  "other",  "into", "some",  "what",
      "so",    "--",    "no",  "time",  "years", "could", "?",      "'t",   "'"};
  return words.contains(word);
}

struct Match {
  size_t in_caption = 0;
  size_t module = 0;
};

// One way to align the words of a reference up to some place.
struct Path {
  std::vector<std::optional<Match>> matches;  // of each word of the reference
  std::vector<bool> used;                     // words of the caption
  int64_t exact = 0;  // exact matches: the others do not count for the order of paths
  int64_t chunks = 0;
  int64_t distance = 0;
  int64_t last_end = -1;  // behind the last matched word of the caption; -1 after a gap
};

// A step from a path of the beam: a match, or none.
struct Step {
  size_t path = 0;
  const Match* match = nullptr;
  bool take = false;  // marks the word of the caption as used
  int64_t exact = 0;
  int64_t chunks = 0;
  int64_t distance = 0;
};

bool better(const Step& left, const Step& right) {
  if (left.exact != right.exact) {
    return left.exact > right.exact;
  }
  return left.chunks != right.chunks ? left.chunks < right.chunks : left.distance < right.distance;
}

class Aligner {
 public:
  Aligner(std::span<const std::string> caption, std::span<const std::string> reference)
      : caption_(caption), reference_(reference), found_(reference.size()) {
    find(0, caption, reference);
    if (!std::ranges::equal(caption, reference)) {
      const auto stems = [](std::span<const std::string> words) {
        std::vector<std::string> made(words.size());
        std::ranges::transform(words, made.begin(), english_stem);
        return made;
      };
      find(1, stems(caption), stems(reference));
    }
  }

  MeteorCounts align() {
    std::vector<Path> paths(1);
    paths[0].matches.resize(reference_.size());
    paths[0].used.resize(caption_.size());
    fix_certain(paths[0]);
    for (size_t at = 0; at < reference_.size(); ++at) {
      paths = advance(paths, at);
    }
    for (Path& path : paths) {
      path.chunks += path.last_end != -1 ? 1 : 0;
    }
    const auto best = std::ranges::min_element(paths, [](const Path& left, const Path& right) {
      return better({0, nullptr, false, left.exact, left.chunks, left.distance},
                    {0, nullptr, false, right.exact, right.chunks, right.distance});
    });
    return count(best->matches);
  }

 private:
  void find(size_t module, std::span<const std::string> left, std::span<const std::string> right) {
    for (size_t j = 0; j < right.size(); ++j) {
      for (size_t i = 0; i < left.size(); ++i) {
        if (left[i] == right[j] && (module == 0 || caption_[i] != reference_[j])) {
          found_[j].push_back({i, module});
        }
      }
    }
  }

  // Matches of two words that match nothing else.
  void fix_certain(Path& path) const {
    std::vector<int64_t> count(caption_.size(), 0);
    for (const std::vector<Match>& matches : found_) {
      for (const Match& match : matches) {
        ++count[match.in_caption];
      }
    }
    for (size_t j = 0; j < found_.size(); ++j) {
      if (found_[j].size() == 1 && count[found_[j][0].in_caption] == 1) {
        path.matches[j] = found_[j][0];
        path.used[found_[j][0].in_caption] = true;
      }
    }
  }

  // Distances grow in the path that skips the word, not in the one that matches it: so it is in the original.
  void steps_of(const Path& path, size_t index, size_t at, std::vector<Step>& steps) const {
    const auto chunks_with = [&path](const Match& match) {
      return path.chunks +
             (path.last_end != -1 && static_cast<int64_t>(match.in_caption) != path.last_end ? 1
                                                                                             : 0);
    };
    const auto apart = [at](const Match& match) {
      return std::abs(static_cast<int64_t>(at) - static_cast<int64_t>(match.in_caption));
    };
    const auto exact = [](const Match& match) { return match.module == 0 ? 1 : 0; };
    if (path.matches[at]) {
      const Match& match = *path.matches[at];
      steps.push_back({index,
                       &match,
                       false,
                       path.exact + exact(match),
                       chunks_with(match),
                       path.distance + apart(match)});
      return;
    }
    int64_t distance = path.distance;
    for (const Match& match : found_[at]) {
      if (!path.used[match.in_caption]) {
        steps.push_back(
            {index, &match, true, path.exact + exact(match), chunks_with(match), distance});
        distance += apart(match);
      }
    }
    steps.push_back(
        {index, nullptr, false, path.exact, path.chunks + (path.last_end != -1 ? 1 : 0), distance});
  }

  [[nodiscard]] std::vector<Path> advance(const std::vector<Path>& paths, size_t at) const {
    std::vector<Step> steps;
    for (size_t i = 0; i < paths.size(); ++i) {
      steps_of(paths[i], i, at, steps);
    }
    std::ranges::stable_sort(steps, better);
    steps.resize(std::min(steps.size(), kBeam));
    std::vector<Path> next;
    for (const Step& step : steps) {
      Path path = paths[step.path];
      if (step.match != nullptr) {
        path.matches[at] = *step.match;
        path.used[step.match->in_caption] = true;
        path.last_end = static_cast<int64_t>(step.match->in_caption) + 1;
      } else {
        path.last_end = -1;
      }
      path.exact = step.exact;
      path.chunks = step.chunks;
      path.distance = step.distance;
      next.push_back(std::move(path));
    }
    return next;
  }

  [[nodiscard]] MeteorCounts count(const std::vector<std::optional<Match>>& matches) const {
    MeteorCounts counts;
    const auto words = [](std::span<const std::string> list, MeteorCounts::Side& side) {
      side.words = static_cast<double>(list.size());
      side.function_words = static_cast<double>(std::ranges::count_if(list, is_function_word));
    };
    words(caption_, counts.caption);
    words(reference_, counts.reference);
    int64_t last_end = -1;
    for (size_t j = 0; j < matches.size(); ++j) {
      if (!matches[j]) {
        counts.chunks += last_end != -1 ? 1 : 0;
        last_end = -1;
        continue;
      }
      const auto [i, module] = *matches[j];
      const auto match = [module = module](MeteorCounts::Side& side, const std::string& word) {
        (is_function_word(word) ? side.function : side.content).at(module) += 1;
      };
      match(counts.caption, caption_[i]);
      match(counts.reference, reference_[j]);
      counts.chunks += last_end != -1 && static_cast<int64_t>(i) != last_end ? 1 : 0;
      last_end = static_cast<int64_t>(i) + 1;
    }
    counts.chunks += last_end != -1 ? 1 : 0;
    return counts;
  }

  std::span<const std::string> caption_;
  std::span<const std::string> reference_;
  std::vector<std::vector<Match>> found_;  // of each word of the reference
};

bool is_perfect(const MeteorCounts& counts) {
  return counts.caption.matched() == counts.caption.words &&
         counts.reference.matched() == counts.reference.words && counts.chunks == 1.0;
}

// Matched words over all words, where a content word weighs three function words.
double share(const MeteorCounts::Side& side) {
  double matched = 0.0;
  for (size_t i = 0; i < MeteorCounts::kModules; ++i) {
    matched += side.content.at(i) * kWeights.at(i) * kDelta;
    matched += side.function.at(i) * kWeights.at(i) * (1.0 - kDelta);
  }
  return matched /
         (kDelta * (side.words - side.function_words) + (1.0 - kDelta) * side.function_words);
}

}  // namespace

double MeteorCounts::Side::matched() const {
  double sum = 0.0;
  for (size_t i = 0; i < kModules; ++i) {
    sum += content.at(i) + function.at(i);
  }
  return sum;
}

void MeteorCounts::add(const MeteorCounts& more) {
  const auto add_side = [](Side& side, const Side& other) {
    side.words += other.words;
    side.function_words += other.function_words;
    for (size_t i = 0; i < kModules; ++i) {
      side.content.at(i) += other.content.at(i);
      side.function.at(i) += other.function.at(i);
    }
  };
  add_side(caption, more.caption);
  add_side(reference, more.reference);
  chunks += is_perfect(more) ? 0.0 : more.chunks;
}

double MeteorCounts::value() const {
  const double mean = 1.0 / ((1.0 - kAlpha) / share(caption) + kAlpha / share(reference));
  const double fragments =
      is_perfect(*this) ? 0.0 : chunks / ((caption.matched() + reference.matched()) / 2.0);
  const double value = mean * (1.0 - kGamma * std::pow(fragments, kBeta));
  return std::isnan(value) ? 0.0 : std::max(value, 0.0);
}

MeteorCounts meteor_counts(std::span<const std::string> caption,
                           std::span<const std::vector<std::string>> references) {
  MeteorCounts best;
  double most = -1.0;
  for (const std::vector<std::string>& reference : references) {
    const MeteorCounts counts = Aligner(caption, reference).align();
    const double value = counts.value();
    if (value > most) {
      most = value;
      best = counts;
    }
  }
  return best;
}

}  // namespace lorapress
