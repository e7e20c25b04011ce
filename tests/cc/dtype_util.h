// Runs a checkpoint's graphs in one dtype without a bundle around them: teacher-forced logits to
// compare with float32.
#ifndef LORAPRESS_TESTS_CC_DTYPE_UTIL_H_
#define LORAPRESS_TESTS_CC_DTYPE_UTIL_H_

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bundles/bundle.h"
#include "checkpoint/checkpoint.h"
#include "graph/check.h"
#include "graph/write.h"
#include "runtime/image/image.h"
#include "runtime/ort/ort_decoder.h"
#include "schemes/scheme.h"
#include "test_util.h"
#include "weights/stream.h"

namespace lorapress::test {

// Encoder and decoder of a checkpoint as authored.
struct Authored {
  Authored(const Source& source, OpDialect ops, int opset = 17)
      : checkpoint(open_checkpoint(source)) {
    std::vector<std::string> notes;
    preprocessing = find_preprocessing(checkpoint, notes);
    const TokenizerFiles tokenizer = find_tokenizer(checkpoint);
    eos = tokenizer.tokens.eos_token_ids;
    manifest.preprocessing = preprocessing;
    manifest.decoder_start_token_id = tokenizer.tokens.decoder_start_token_id;
    manifest.image_tokens = checkpoint.vision->tokens();
    manifest.vocab_size = checkpoint.text->vocab_size;
    manifest.num_hidden_layers = checkpoint.text->num_hidden_layers;
    manifest.num_key_value_heads = checkpoint.text->num_key_value_heads;
    manifest.head_dim = checkpoint.text->head_dim;
    const BundleRequest request{checkpoint, preprocessing, tokenizer, ops, opset, 30, "fp32"};
    for (const BundleGraph& graph : bundle("transformers.js").graphs(request, notes)) {
      (graph.role == "encoder" ? encoder : decoder) = to_model(graph.graph);
    }
  }

  [[nodiscard]] std::vector<float> pixels(const fs::path& image) const {
    const Image resized = resize(load_image(image),
                                 preprocessing.width,
                                 preprocessing.height,
                                 parse_resample(preprocessing.resample, "test"));
    const auto floats = [](const std::array<double, 3>& v) {
      return std::array<float, 3>{
          static_cast<float>(v[0]), static_cast<float>(v[1]), static_cast<float>(v[2])};
    };
    return normalise(resized,
                     preprocessing.rescale_factor,
                     floats(preprocessing.image_mean),
                     floats(preprocessing.image_std));
  }

  Checkpoint checkpoint;
  Preprocessing preprocessing;
  std::vector<int64_t> eos;
  Manifest manifest;  // what a decoder's shapes follow from
  Model encoder;
  Model decoder;
};

inline uint64_t write_model(const Model& model, const fs::path& path) {
  uint64_t bytes = 0;
  for (const WrittenFile& file : write_files(plan_onnx(model, path, false), {})) {
    bytes += file.bytes;
  }
  return bytes;
}

// One dtype, loaded.
class DTypeRun {
 public:
  DTypeRun(const Authored& authored, const Model& encoder, const Model& decoder)
      : authored_(authored) {
    bytes_ = write_model(encoder, folder_ / "encoder.onnx");
    bytes_ += write_model(decoder, folder_ / "decoder.onnx");
    const OrtDecoder::Files files{
        folder_ / "encoder.onnx", folder_ / "decoder.onnx", folder_ / "decoder.onnx"};
    decoder_.emplace(authored.manifest, files, 1U);
  }

  [[nodiscard]] uint64_t bytes() const { return bytes_; }

  // Logits of each step. With `forced` those tokens are fed, otherwise the likeliest ones until one
  // ends the text; `ids` gets the likeliest of each step.
  std::vector<std::vector<float>> logits(std::span<const float> pixels,
                                         const std::vector<int64_t>* forced,
                                         size_t most,
                                         std::vector<int64_t>& ids) {
    const size_t count = forced != nullptr ? forced->size() : most;
    const std::unique_ptr<EncodedImage> image = decoder_->encode(pixels);
    const std::unique_ptr<Sequences> sequences =
        decoder_->start({1, 1, authored_.manifest.image_tokens, static_cast<int64_t>(count)});
    sequences->prefill(0, *image, {&authored_.manifest.decoder_start_token_id, 1});
    std::vector<std::vector<float>> steps;
    ids.clear();
    while (steps.size() < count) {
      if (!steps.empty()) {
        const int64_t next = forced != nullptr ? (*forced)[steps.size() - 1] : ids.back();
        sequences->step(std::array<int64_t, 1>{0}, {&next, 1});
      }
      const auto row = sequences->logits(0);
      steps.emplace_back(row.begin(), row.end());
      ids.push_back(std::ranges::max_element(row) - row.begin());
      if (forced == nullptr && std::ranges::count(authored_.eos, ids.back()) != 0) {
        break;
      }
    }
    return steps;
  }

 private:
  const Authored& authored_;
  TempFolder folder_;
  uint64_t bytes_ = 0;
  std::optional<OrtDecoder> decoder_;
};

// What float32 says of some images.
struct Reference {
  std::vector<std::vector<float>> images;
  std::vector<std::vector<int64_t>> ids;
  std::vector<std::vector<std::vector<float>>> logits;
};

inline Reference make_reference(const Authored& authored,
                                std::vector<std::vector<float>> images,
                                size_t most) {
  DTypeRun run(authored, authored.encoder, authored.decoder);
  Reference reference{std::move(images), {}, {}};
  for (const auto& pixels : reference.images) {
    reference.logits.push_back(run.logits(pixels, nullptr, most, reference.ids.emplace_back()));
  }
  return reference;
}

struct Quality {
  uint64_t bytes = 0;
  double kl = 0.0;  // mean over positions of KL(float32 || dtype), natural logarithm
  size_t matched = 0;
  size_t positions = 0;
  [[nodiscard]] double match() const {
    return static_cast<double>(matched) / static_cast<double>(positions);
  }
};

inline std::vector<double> log_softmax(const std::vector<float>& logits) {
  const double most = *std::ranges::max_element(logits);
  double sum = 0.0;
  for (const float value : logits) {
    sum += std::exp(static_cast<double>(value) - most);
  }
  std::vector<double> out;
  for (const float value : logits) {
    out.push_back(static_cast<double>(value) - most - std::log(sum));
  }
  return out;
}

inline double divergence(const std::vector<float>& expected, const std::vector<float>& found) {
  const auto p = log_softmax(expected);
  const auto q = log_softmax(found);
  double sum = 0.0;
  for (size_t i = 0; i < p.size(); ++i) {
    sum += std::exp(p[i]) * (p[i] - q[i]);
  }
  return sum;
}

inline Quality measure(const Authored& authored,
                       const Reference& reference,
                       const std::string& dtype,
                       const SchemeOptions& options,
                       const ActivationStats* statistics = nullptr) {
  Model encoder = authored.encoder;
  Model decoder = authored.decoder;
  const SchemeContext context{options, statistics, nullptr, 2};
  scheme(dtype).apply(encoder, context);
  scheme(dtype).apply(decoder, context);
  DTypeRun run(authored, encoder, decoder);
  Quality quality;
  quality.bytes = run.bytes();
  for (size_t i = 0; i < reference.images.size(); ++i) {
    std::vector<int64_t> ids;
    const auto logits = run.logits(reference.images[i], &reference.ids[i], 0, ids);
    for (size_t step = 0; step < logits.size(); ++step) {
      quality.kl += divergence(reference.logits[i][step], logits[step]);
      quality.matched += ids[step] == reference.ids[i][step] ? 1 : 0;
      ++quality.positions;
    }
  }
  quality.kl /= static_cast<double>(quality.positions);
  return quality;
}

}  // namespace lorapress::test

#endif  // LORAPRESS_TESTS_CC_DTYPE_UTIL_H_
