// Metrics of captions against what people wrote: CIDEr-D, BLEU, ROUGE-L, METEOR, equal to pycocoevalcap's.
#ifndef LORAPRESS_SCORE_H_
#define LORAPRESS_SCORE_H_

#include <array>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "lorapress/error.h"

namespace lorapress {

// Of one caption, or of all together. Words are those of pycocoevalcap's PTBTokenizer, in lower case and without
// punctuation.
struct CaptionMetrics {
  double cider = 0.0;  // CIDEr-D, 0 to 10; of all: the mean
  std::array<double, 4> bleu =
      {};                // BLEU-1 to BLEU-4; of all: over the sums, with one penalty for length
  double rouge_l = 0.0;  // of all: the mean
  // METEOR 1.5 with its modules "exact" and "stem", parameters and weights of its ranking task for English. Synonyms
  // (WordNet) and paraphrases are not matched, so that it is lower than with all four modules. Of all: over the sums.
  double meteor = 0.0;
  double words = 0.0;  // length; of all: the mean
};

// How much better one set of captions is than another one of the same images, and the middle 95 % of that difference
// where images are drawn again (paired bootstrap, 1000 draws, always the same ones for the same number of images).
struct MetricDifference {
  double value = 0.0;
  double low = 0.0;
  double high = 0.0;
};
struct MetricDifferences {
  MetricDifference cider;
  MetricDifference bleu_4;
  MetricDifference rouge_l;
  MetricDifference meteor;
  MetricDifference words;
};

struct CaptionToScore {
  std::string image;                    // its name, for the report
  std::string caption;                  // may be empty
  std::vector<std::string> references;  // one at least
};

struct ScoredCaption {
  CaptionToScore texts;
  CaptionMetrics metrics;  // CIDEr-D with the document frequencies of all references here
};

struct ScoreReport {
  CaptionMetrics metrics;
  double reference_words = 0.0;  // mean length of a reference
  std::vector<ScoredCaption> captions;
  std::vector<std::string> notes;
};

// Throws kInvalidArgument for no captions, or for one without references. With few images CIDEr-D says little, since it
// weighs words by how many images they belong to; of one image it is 0.
ScoreReport score_captions(std::span<const CaptionToScore> captions);

struct ScoreOptions {
  // Each is a file of captions by image:
  //   JSON lines with "image", "file_name", "filename" or "image_id", and "text", "caption", "captions" or "alt_text":
  //     what `lorapress caption --jsonl` writes (of an image's lines the last one counts), metadata.jsonl of an
  //     ImageFolder;
  //   what `lorapress caption --json` prints; COCO's annotations, or a list of its results; Karpathy's splits;
  //   a table (CSV; commas, semicolons, tabs or bars) whose first line names such columns, or lines
  //     "NAME.jpg#0<tab>CAPTION" as Flickr8k has them.
  std::filesystem::path candidates;  // one caption for each image
  std::filesystem::path references;  // one or more
  std::string split;                 // of a file with splits (Karpathy's); empty: all of it
};

// Captions are matched with references by the image's name, else by the last part of it, else by COCO's number; images
// of only one of the files do not count, and a note says how many there are. Throws kNotFound, kIo, kInvalidFile
// (with the line), kMismatch where no image is in both.
ScoreReport score(const ScoreOptions& options);

}  // namespace lorapress

#endif  // LORAPRESS_SCORE_H_
