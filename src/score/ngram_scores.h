// Metrics of captions that count runs of words. Numbers are those of pycocoevalcap 1.2 (bleu/bleu_scorer.py,
// cider/cider_scorer.py, rouge/rouge.py), to the last digits.
#ifndef LORAPRESS_SCORE_NGRAM_SCORES_H_
#define LORAPRESS_SCORE_NGRAM_SCORES_H_

#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace lorapress {

inline constexpr size_t kMaxGram = 4;
using Words = std::vector<std::string>;
using Grams =
    std::map<std::vector<int>, int64_t>;  // a run of words by their numbers, and how often

// Numbers for words, and the runs of 1 to 4 of them in a caption.
class Vocabulary {
 public:
  Grams grams(const Words& words);

 private:
  std::map<std::string, int> numbers_;
};

// BLEU of one caption, or of all: sums over captions.
struct BleuCounts {
  std::array<double, kMaxGram> correct{};
  std::array<double, kMaxGram> guessed{};
  double length = 0.0;
  double reference_length =
      0.0;  // of the reference whose length is closest, the shorter one of two
  void add(const BleuCounts& more);
  // BLEU-1 to BLEU-4 with one reference length: (prod of correct / guessed)^(1/n), times exp(1 - reference / length)
  // of captions that are too short.
  [[nodiscard]] std::array<double, kMaxGram> values() const;
};
struct Counted {
  int64_t words = 0;
  Grams grams;
};
BleuCounts bleu_counts(const Counted& caption, std::span<const Counted> references);

// CIDEr-D of each caption: the mean over n of ten times the clipped cosine of tf-idf vectors, with a Gaussian of the
// difference in length, which is counted in pairs of words, as there. A run's document frequency is the number of
// images with it in their references.
std::vector<double> cider_scores(std::span<const Counted> captions,
                                 std::span<const std::vector<Counted>> references);

// ROUGE-L with beta 1.2: of the longest common subsequences, best precision and best recall of all references. A
// caption without words is one empty word, as there.
double rouge_l(const Words& caption, std::span<const Words> references);

}  // namespace lorapress

#endif  // LORAPRESS_SCORE_NGRAM_SCORES_H_
