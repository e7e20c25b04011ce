// Stems of English words.
#ifndef LORAPRESS_SCORE_ENGLISH_STEM_H_
#define LORAPRESS_SCORE_ENGLISH_STEM_H_

#include <string>
#include <string_view>

namespace lorapress {

// The stem of a word in lower case by Porter's second algorithm for English
// (https://snowballstem.org/algorithms/english/stemmer.html), as METEOR 1.5 has it: running and runs are run, skies
// is sky. Bytes that are not ASCII letters are consonants. Not by libstemmer: its rules change with its
// version, METEOR's are those of 1.5.
std::string english_stem(std::string_view word);

}  // namespace lorapress

#endif  // LORAPRESS_SCORE_ENGLISH_STEM_H_
