// Captions as words, the way captions are compared: as PTBTokenizer of pycocoevalcap 1.2, which calls Stanford
// CoreNLP 3.4.1, splits them.
#ifndef LORAPRESS_SCORE_CAPTION_TOKENS_H_
#define LORAPRESS_SCORE_CAPTION_TOKENS_H_

#include <string>
#include <string_view>
#include <vector>

namespace lorapress {

// Longer captions are refused where they are read; what is done with one grows with the square of its length.
inline constexpr size_t kMaxCaption = 4096;  // bytes

// Tokens of the Penn Treebank in lower case, without those that are punctuation: "The man's T-shirt isn't grey."
// becomes the, man, 's, t-shirt, is, n't, grey. As in the original, -lrb- and the other brackets stay, and so do
// runs such as "!!!"; a token may have a no-break space in it (a phone number). Letters of Latin, Greek and Cyrillic are
// as there; of other scripts, and of the parts of addresses and tags, only the common ones. A line break is a
// blank, and every caption is read as if it were alone in a file that goes on with an empty line (there, whether "a." at the end of a caption keeps its dot depends on the next caption). Bytes that are not UTF-8 are blanks.
std::vector<std::string> caption_tokens(std::string_view caption);

// UTF-8 in lower case, as far as Latin, Greek and Cyrillic have it.
std::string lower_case(std::string_view text);

std::u32string from_utf8(std::string_view text);  // other bytes become U+FFFD
std::string to_utf8(std::u32string_view text);

}  // namespace lorapress

#endif  // LORAPRESS_SCORE_CAPTION_TOKENS_H_
