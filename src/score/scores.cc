#include "score/scores.h"

#include <numeric>

#include "base/fail.h"
#include "score/caption_tokens.h"

namespace lorapress {
namespace {

// Tokens of which the few with a no-break space are cut there, as Python's split() does it for BLEU and CIDEr-D.
Words split_words(const Words& tokens) {
  constexpr std::string_view kNoBreakSpace = "\u00A0";
  Words words;
  for (std::string_view token : tokens) {
    while (!token.empty()) {
      const size_t end = std::min(token.find(kNoBreakSpace), token.size());
      if (end > 0) {
        words.emplace_back(token.substr(0, end));
      }
      token.remove_prefix(std::min(end + kNoBreakSpace.size(), token.size()));
    }
  }
  return words;
}

struct Cut {
  Words tokens;
  Words meteor_words;
  Counted counted;
};

Cut cut(const std::string& text, Vocabulary& vocabulary) {
  if (text.size() > kMaxCaption) {
    fail(ErrorCode::kInvalidArgument,
         "a caption of {} bytes, expected at most {}: \"{}...\"",
         text.size(),
         kMaxCaption,
         text.substr(0, 40));
  }
  Cut made;
  made.tokens = caption_tokens(text);
  made.meteor_words = meteor_words(fmt::format("{}", fmt::join(made.tokens, " ")));
  const Words words = split_words(made.tokens);
  made.counted = {static_cast<int64_t>(words.size()), vocabulary.grams(words)};
  return made;
}

}  // namespace

CaptionMetrics metrics_of(const CaptionCounts& caption) {
  return {caption.cider,
          caption.bleu.values(),
          caption.rouge_l,
          caption.meteor.value(),
          caption.bleu.length};
}

CaptionMetrics metrics_of(std::span<const CaptionCounts> captions, std::span<const size_t> chosen) {
  BleuCounts bleu;
  MeteorCounts meteor;
  CaptionMetrics metrics;
  for (const size_t i : chosen) {
    bleu.add(captions[i].bleu);
    meteor.add(captions[i].meteor);
    metrics.cider += captions[i].cider;
    metrics.rouge_l += captions[i].rouge_l;
  }
  const auto count = static_cast<double>(chosen.size());
  metrics.cider /= count;
  metrics.rouge_l /= count;
  metrics.bleu = bleu.values();
  metrics.meteor = meteor.value();
  metrics.words = bleu.length / count;
  return metrics;
}

CaptionMetrics metrics_of(std::span<const CaptionCounts> captions) {
  std::vector<size_t> all(captions.size());
  std::iota(all.begin(), all.end(), size_t{0});
  return metrics_of(captions, all);
}

References::References(std::span<const std::vector<std::string>> texts) {
  for (const std::vector<std::string>& of_image : texts) {
    OfImage image;
    for (const std::string& text : of_image) {
      Cut made = cut(text, vocabulary_);
      image.tokens.push_back(std::move(made.tokens));
      image.meteor_words.push_back(std::move(made.meteor_words));
      image.counted.push_back(std::move(made.counted));
    }
    images_.push_back(std::move(image));
  }
}

std::vector<CaptionCounts> References::count(std::span<const std::string> captions) const {
  Vocabulary vocabulary = vocabulary_;
  std::vector<Counted> counted;
  std::vector<std::vector<Counted>> references;
  std::vector<CaptionCounts> counts(captions.size());
  for (size_t i = 0; i < captions.size(); ++i) {
    Cut caption = cut(captions[i], vocabulary);
    counts[i].rouge_l = rouge_l(caption.tokens, images_[i].tokens);
    counts[i].meteor = meteor_counts(caption.meteor_words, images_[i].meteor_words);
    counts[i].bleu = bleu_counts(caption.counted, images_[i].counted);
    counted.push_back(std::move(caption.counted));
    references.push_back(images_[i].counted);
  }
  const std::vector<double> cider = cider_scores(counted, references);
  for (size_t i = 0; i < captions.size(); ++i) {
    counts[i].cider = cider[i];
  }
  return counts;
}

double References::mean_words() const {
  int64_t words = 0;
  int64_t texts = 0;
  for (const OfImage& image : images_) {
    for (const Counted& reference : image.counted) {
      words += reference.words;
      ++texts;
    }
  }
  return texts == 0 ? 0.0 : static_cast<double>(words) / static_cast<double>(texts);
}

}  // namespace lorapress
