// METEOR 1.5 with its modules "exact" and "stem" (Denkowski and Lavie 2014), English, parameters of its ranking task.
#ifndef LORAPRESS_SCORE_METEOR_H_
#define LORAPRESS_SCORE_METEOR_H_

#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lorapress {

// What one caption, or all of them, has in common with its best reference. The original also matches synonyms
// of WordNet and paraphrases of a table of 60 MB, which are not here: its numbers are larger.
struct MeteorCounts {
  static constexpr size_t kModules = 2;  // exact, stem
  struct Side {
    double words = 0.0;
    double function_words = 0.0;
    std::array<double, kModules> content{};   // matched words
    std::array<double, kModules> function{};  // matched function words
    [[nodiscard]] double matched() const;
  };
  Side caption;
  Side reference;
  double chunks = 0.0;

  void add(const MeteorCounts& more);
  // F (1 - 0.6 fragmentation^0.2), where F weighs recall with 0.85 and content words with 0.75; 0 to 1.
  [[nodiscard]] double value() const;
};

// Words as its option -norm makes them of tokens between blanks: "black-and-white" are three, 's is ' and s.
std::vector<std::string> meteor_words(std::string_view tokens);

// The counts of the reference with the highest value. The search for an alignment keeps 40 ways open, as there.
MeteorCounts meteor_counts(std::span<const std::string> caption,
                           std::span<const std::vector<std::string>> references);

}  // namespace lorapress

#endif  // LORAPRESS_SCORE_METEOR_H_
