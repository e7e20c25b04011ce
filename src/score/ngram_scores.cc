#include "score/ngram_scores.h"

#include <algorithm>
#include <cmath>

namespace lorapress {
namespace {

// What the scorers add so that nothing is divided by zero.
constexpr double kSmall = 1e-9;
constexpr double kTiny = 1e-15;
constexpr double kSigma = 6.0;      // of CIDEr-D's Gaussian
constexpr double kRougeBeta = 1.2;  // of ROUGE-L

struct Vector {
  std::array<std::map<std::vector<int>, double>, kMaxGram> weights;
  std::array<double, kMaxGram> norms{};
  double length = 0.0;  // in pairs of words
};

Vector weigh(const Counted& text, const Grams& documents, double log_images) {
  Vector vector;
  for (const auto& [gram, count] : text.grams) {
    const auto found = documents.find(gram);
    const double in = found == documents.end() ? 0.0 : static_cast<double>(found->second);
    const size_t n = gram.size() - 1;
    const double weight = static_cast<double>(count) * (log_images - std::log(std::max(1.0, in)));
    vector.weights[n][gram] = weight;
    vector.norms[n] += weight * weight;
    vector.length += n == 1 ? static_cast<double>(count) : 0.0;
  }
  for (double& norm : vector.norms) {
    norm = std::sqrt(norm);
  }
  return vector;
}

double similarity(const Vector& caption, const Vector& reference) {
  const double difference = caption.length - reference.length;
  const double gauss = std::exp(-(difference * difference) / (2 * kSigma * kSigma));
  double sum = 0.0;
  for (size_t n = 0; n < kMaxGram; ++n) {
    double value = 0.0;
    for (const auto& [gram, weight] : caption.weights[n]) {
      const auto found = reference.weights[n].find(gram);
      if (found != reference.weights[n].end()) {
        value += std::min(weight, found->second) * found->second;
      }
    }
    if (caption.norms[n] != 0.0 && reference.norms[n] != 0.0) {
      value /= caption.norms[n] * reference.norms[n];
    }
    sum += value * gauss;
  }
  return sum / static_cast<double>(kMaxGram);
}

int64_t common_subsequence(const Words& left, const Words& right) {
  std::vector<int64_t> row(right.size() + 1, 0);
  for (const std::string& word : left) {
    int64_t diagonal = 0;
    for (size_t i = 0; i < right.size(); ++i) {
      const int64_t above = row[i + 1];
      row[i + 1] = word == right[i] ? diagonal + 1 : std::max(above, row[i]);
      diagonal = above;
    }
  }
  return row.back();
}

}  // namespace

Grams Vocabulary::grams(const Words& words) {
  std::vector<int> numbers;
  for (const std::string& word : words) {
    numbers.push_back(numbers_.emplace(word, static_cast<int>(numbers_.size())).first->second);
  }
  Grams grams;
  for (size_t n = 1; n <= kMaxGram; ++n) {
    for (size_t i = 0; i + n <= numbers.size(); ++i) {
      const auto first = numbers.begin() + static_cast<std::ptrdiff_t>(i);
      ++grams[std::vector<int>(first, first + static_cast<std::ptrdiff_t>(n))];
    }
  }
  return grams;
}

void BleuCounts::add(const BleuCounts& more) {
  for (size_t n = 0; n < kMaxGram; ++n) {
    correct[n] += more.correct[n];
    guessed[n] += more.guessed[n];
  }
  length += more.length;
  reference_length += more.reference_length;
}

std::array<double, kMaxGram> BleuCounts::values() const {
  std::array<double, kMaxGram> values{};
  double product = 1.0;
  const double ratio = (length + kTiny) / (reference_length + kSmall);
  for (size_t n = 0; n < kMaxGram; ++n) {
    product *= (correct[n] + kTiny) / (guessed[n] + kSmall);
    values[n] = std::pow(product, 1.0 / static_cast<double>(n + 1));
    values[n] *= ratio < 1.0 ? std::exp(1.0 - 1.0 / ratio) : 1.0;
  }
  return values;
}

BleuCounts bleu_counts(const Counted& caption, std::span<const Counted> references) {
  BleuCounts counts;
  Grams most;
  int64_t closest = references.front().words;
  for (const Counted& reference : references) {
    const auto distance = [&](int64_t words) {
      return std::pair(std::abs(words - caption.words), words);
    };
    closest = std::min(closest, reference.words, [&](int64_t left, int64_t right) {
      return distance(left) < distance(right);
    });
    for (const auto& [gram, count] : reference.grams) {
      int64_t& place = most[gram];
      place = std::max(place, count);
    }
  }
  counts.length = static_cast<double>(caption.words);
  counts.reference_length = static_cast<double>(closest);
  for (size_t n = 0; n < kMaxGram; ++n) {
    counts.guessed[n] =
        static_cast<double>(std::max<int64_t>(0, caption.words - static_cast<int64_t>(n)));
  }
  for (const auto& [gram, count] : caption.grams) {
    const auto found = most.find(gram);
    if (found != most.end()) {
      counts.correct[gram.size() - 1] += static_cast<double>(std::min(found->second, count));
    }
  }
  return counts;
}

std::vector<double> cider_scores(std::span<const Counted> captions,
                                 std::span<const std::vector<Counted>> references) {
  Grams documents;
  for (const std::vector<Counted>& of_image : references) {
    Grams seen;
    for (const Counted& reference : of_image) {
      seen.insert(reference.grams.begin(), reference.grams.end());
    }
    for (const auto& [gram, count] : seen) {
      ++documents[gram];
    }
  }
  const double log_images = std::log(static_cast<double>(captions.size()));
  std::vector<double> scores;
  for (size_t i = 0; i < captions.size(); ++i) {
    const Vector caption = weigh(captions[i], documents, log_images);
    double sum = 0.0;
    for (const Counted& reference : references[i]) {
      sum += similarity(caption, weigh(reference, documents, log_images));
    }
    scores.push_back(10.0 * sum / static_cast<double>(references[i].size()));
  }
  return scores;
}

double rouge_l(const Words& caption, std::span<const Words> references) {
  const Words empty{""};
  const Words& words = caption.empty() ? empty : caption;
  double precision = 0.0;
  double recall = 0.0;
  for (const Words& given : references) {
    const Words& reference = given.empty() ? empty : given;
    const auto common = static_cast<double>(common_subsequence(words, reference));
    precision = std::max(precision, common / static_cast<double>(words.size()));
    recall = std::max(recall, common / static_cast<double>(reference.size()));
  }
  const double below = recall + kRougeBeta * kRougeBeta * precision;
  return precision == 0.0 || recall == 0.0
             ? 0.0
             : (1.0 + kRougeBeta * kRougeBeta) * precision * recall / below;
}

}  // namespace lorapress
