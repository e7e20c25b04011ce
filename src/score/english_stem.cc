#include "score/english_stem.h"

#include <algorithm>
#include <array>
#include <utility>

namespace lorapress {
namespace {

struct WordPair {
  std::string_view word;
  std::string_view stem;
};
constexpr std::array kExceptions = std::to_array<WordPair>({{"skis", "ski"},
                                                            {"skies", "sky"},
                                                            {"dying", "die"},
                                                            {"lying", "lie"},
                                                            {"tying", "tie"},
                                                            {"idly", "idl"},
                                                            {"gently", "gentl"},
                                                            {"ugly", "ugli"},
                                                            {"early", "earli"},
                                                            {"only", "onli"},
                                                            {"singly", "singl"},
                                                            {"sky", "sky"},
                                                            {"news", "news"},
                                                            {"howe", "howe"},
                                                            {"atlas", "atlas"},
                                                            {"cosmos", "cosmos"},
                                                            {"bias", "bias"},
                                                            {"andes", "andes"}});
// Left as they are once step 1a has taken their plural off.
constexpr std::array<std::string_view, 8> kAfterPlural = {
    "inning", "outing", "canning", "herring", "earring", "proceed", "exceed", "succeed"};

bool is_vowel(char sign) {
  return std::string_view("aeiouy").find(sign) != std::string_view::npos;
}

// A word with the places where R1 and R2 of the algorithm begin. A y that is a consonant is written Y meanwhile.
class Stemmer {
 public:
  explicit Stemmer(std::string_view word) : word_(word) {
    if (word_.front() == '\'') {
      word_.erase(0, 1);
    }
    for (size_t i = 0; i < word_.size(); ++i) {
      if (word_[i] == 'y' && (i == 0 || is_vowel(word_[i - 1]))) {
        word_[i] = 'Y';
      }
    }
    r1_ = behind_vowel_and_consonant(0);
    for (const std::string_view begin : {"gener", "commun", "arsen"}) {
      if (word_.starts_with(begin)) {
        r1_ = begin.size();
      }
    }
    r2_ = behind_vowel_and_consonant(r1_);
  }

  std::string stem() {
    remove_possessive();
    step_1a();
    if (std::ranges::find(kAfterPlural, word_) == kAfterPlural.end()) {
      step_1b();
      step_1c();
      step_2();
      step_3();
      step_4();
      step_5();
    }
    std::ranges::replace(word_, 'Y', 'y');
    return std::move(word_);
  }

 private:
  [[nodiscard]] size_t behind_vowel_and_consonant(size_t from) const {
    for (size_t i = from + 1; i < word_.size(); ++i) {
      if (!is_vowel(word_[i]) && is_vowel(word_[i - 1])) {
        return i + 1;
      }
    }
    return word_.size();
  }
  [[nodiscard]] bool ends(std::string_view suffix) const { return word_.ends_with(suffix); }
  [[nodiscard]] bool in_r1(size_t suffix) const { return word_.size() - suffix >= r1_; }
  [[nodiscard]] bool in_r2(size_t suffix) const { return word_.size() - suffix >= r2_; }
  [[nodiscard]] bool vowel_before(size_t suffix) const {
    return std::any_of(word_.begin(), word_.end() - static_cast<std::ptrdiff_t>(suffix), is_vowel);
  }
  void cut(size_t count) { word_.resize(word_.size() - count); }

  // Ends in a short syllable, looked at without the last `suffix` letters.
  [[nodiscard]] bool short_syllable(size_t suffix) const {
    const size_t size = word_.size() - suffix;
    if (size == 2) {
      return is_vowel(word_[0]) && !is_vowel(word_[1]);
    }
    return size > 2 && !is_vowel(word_[size - 3]) && is_vowel(word_[size - 2]) &&
           !is_vowel(word_[size - 1]) &&
           std::string_view("wxY").find(word_[size - 1]) == std::string_view::npos;
  }

  // The longest of the suffixes that the word ends in; empty for none. REQUIRES: longer ones first.
  template <size_t kCount>
  [[nodiscard]] const WordPair* find(const std::array<WordPair, kCount>& suffixes) const {
    const auto found =
        std::ranges::find_if(suffixes, [this](const WordPair& pair) { return ends(pair.word); });
    return found == suffixes.end() ? nullptr : &*found;
  }

  void remove_possessive() {
    for (const std::string_view suffix : {"'s'", "'s", "'"}) {
      if (ends(suffix)) {
        cut(suffix.size());
        return;
      }
    }
  }

  void step_1a() {
    if (ends("sses")) {
      cut(2);
    } else if (ends("ied") || ends("ies")) {
      cut(word_.size() > 4 ? 2 : 1);
    } else if (ends("s") && !ends("us") && !ends("ss") && word_.size() > 2 && vowel_before(2)) {
      cut(1);
    }
  }

  void step_1b() {
    for (const std::string_view suffix : {"eedly", "ingly", "edly", "eed", "ing", "ed"}) {
      if (!ends(suffix)) {
        continue;
      }
      if (suffix.starts_with("ee")) {
        if (in_r1(suffix.size())) {
          cut(suffix.size() - 2);
        }
      } else if (vowel_before(suffix.size())) {
        cut(suffix.size());
        repair();
      }
      return;
    }
  }

  void repair() {
    const size_t size = word_.size();
    if (ends("at") || ends("bl") || ends("iz")) {
      word_ += 'e';
    } else if (size >= 2 && word_[size - 1] == word_[size - 2] &&
               std::string_view("bdfgmnprt").find(word_[size - 1]) != std::string_view::npos) {
      cut(1);
    } else if (r1_ >= size && short_syllable(0)) {
      word_ += 'e';
    }
  }

  void step_1c() {
    const size_t size = word_.size();
    if (size > 2 && (ends("y") || ends("Y")) && !is_vowel(word_[size - 2])) {
      word_.back() = 'i';
    }
  }

  void step_2() {
    static constexpr std::array kSuffixes = std::to_array<WordPair>(
        {{"ization", "ize"}, {"ational", "ate"}, {"fulness", "ful"}, {"ousness", "ous"},
         {"iveness", "ive"}, {"tional", "tion"}, {"biliti", "ble"},  {"lessli", "less"},
         {"entli", "ent"},   {"ation", "ate"},   {"alism", "al"},    {"aliti", "al"},
         {"ousli", "ous"},   {"iviti", "ive"},   {"fulli", "ful"},   {"enci", "ence"},
         {"anci", "ance"},   {"abli", "able"},   {"izer", "ize"},    {"ator", "ate"},
         {"alli", "al"},     {"bli", "ble"},     {"ogi", "og"},      {"li", ""}});
    const WordPair* found = find(kSuffixes);
    if (found == nullptr || !in_r1(found->word.size())) {
      return;
    }
    const size_t before = word_.size() - found->word.size();
    const char last = before == 0 ? ' ' : word_[before - 1];
    if ((found->word == "ogi" && last != 'l') ||
        (found->word == "li" &&
         std::string_view("cdeghkmnrt").find(last) == std::string_view::npos)) {
      return;
    }
    word_.replace(before, found->word.size(), found->stem);
  }

  void step_3() {
    static constexpr std::array kSuffixes = std::to_array<WordPair>({{"ational", "ate"},
                                                                     {"tional", "tion"},
                                                                     {"alize", "al"},
                                                                     {"icate", "ic"},
                                                                     {"iciti", "ic"},
                                                                     {"ative", ""},
                                                                     {"ical", "ic"},
                                                                     {"ness", ""},
                                                                     {"ful", ""}});
    const WordPair* found = find(kSuffixes);
    if (found != nullptr && in_r1(found->word.size()) &&
        (found->word != "ative" || in_r2(found->word.size()))) {
      word_.replace(word_.size() - found->word.size(), found->word.size(), found->stem);
    }
  }

  void step_4() {
    for (const std::string_view suffix : {"ement",
                                          "ance",
                                          "ence",
                                          "able",
                                          "ible",
                                          "ment",
                                          "ant",
                                          "ent",
                                          "ism",
                                          "ate",
                                          "iti",
                                          "ous",
                                          "ive",
                                          "ize",
                                          "ion",
                                          "al",
                                          "er",
                                          "ic"}) {
      if (!ends(suffix)) {
        continue;
      }
      const size_t before = word_.size() - suffix.size();
      const char last = before == 0 ? ' ' : word_[before - 1];
      if (in_r2(suffix.size()) && (suffix != "ion" || last == 's' || last == 't')) {
        cut(suffix.size());
      }
      return;
    }
  }

  void step_5() {
    if (ends("e")) {
      if (in_r2(1) || (in_r1(1) && !short_syllable(1))) {
        cut(1);
      }
    } else if (ends("ll") && in_r2(1)) {
      cut(1);
    }
  }

  std::string word_;
  size_t r1_ = 0;
  size_t r2_ = 0;
};

}  // namespace

std::string english_stem(std::string_view word) {
  const auto exception = std::ranges::find(kExceptions, word, &WordPair::word);
  if (exception != kExceptions.end()) {
    return std::string(exception->stem);
  }
  return word.size() < 3 ? std::string(word) : Stemmer(word).stem();
}

}  // namespace lorapress
