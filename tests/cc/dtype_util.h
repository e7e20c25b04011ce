// Runs a checkpoint's graphs in one dtype without a bundle around them: teacher-forced logits to
// compare with float32.
#ifndef LORAPRESS_TESTS_CC_DTYPE_UTIL_H_
#define LORAPRESS_TESTS_CC_DTYPE_UTIL_H_

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bundles/bundle.h"
#include "checkpoint/checkpoint.h"
#include "graph/check.h"
#include "graph/ports.h"
#include "graph/write.h"
#include "runtime/image/image.h"
#include "runtime/ort/ort.h"
#include "schemes/nbits_plan.h"
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
    start = tokenizer.tokens.decoder_start_token_id;
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
  int64_t start = 0;
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
    encoder_.emplace(folder_ / "encoder.onnx", 1U);
    decoder_.emplace(folder_ / "decoder.onnx", 1U);
    for (const OrtPort& port : decoder_->inputs()) {
      if (is_cache_port(port.name)) {
        past_.push_back(port);
      }
    }
  }

  [[nodiscard]] uint64_t bytes() const { return bytes_; }

  // Logits of each step. With `forced` those tokens are fed, otherwise the likeliest ones until one
  // ends the text; `ids` gets the likeliest of each step.
  std::vector<std::vector<float>> logits(std::span<const float> pixels,
                                         const std::vector<int64_t>* forced,
                                         size_t most,
                                         std::vector<int64_t>& ids) {
    const OrtTensor input = OrtTensor::floats(
        {1, 3, authored_.preprocessing.height, authored_.preprocessing.width}, pixels);
    std::vector<OrtTensor> image = run(*encoder_, {{"pixel_values", &input}});
    std::vector<OrtTensor> cache;
    for (const OrtPort& port : past_) {
      cache.emplace_back(port.dtype, Shape{1, port.shape.at(1), 0, port.shape.at(3)});
    }
    std::vector<std::vector<float>> steps;
    int64_t next = authored_.start;
    ids.clear();
    while (steps.size() < (forced != nullptr ? forced->size() : most)) {
      const OrtTensor token = OrtTensor::integers({1, 1}, std::span(&next, 1));
      std::vector<OrtSession::Feed> feeds{{"input_ids", &token},
                                          {"encoder_hidden_states", &image[0]}};
      for (size_t i = 0; i < past_.size(); ++i) {
        feeds.push_back({past_[i].name, &cache[i]});
      }
      std::vector<OrtTensor> outputs = run(*decoder_, feeds);
      const auto row = outputs[0].as_floats();
      steps.emplace_back(row.begin(), row.end());
      ids.push_back(std::ranges::max_element(row) - row.begin());
      next = forced != nullptr ? (*forced)[steps.size() - 1] : ids.back();
      cache.clear();
      std::move(outputs.begin() + 1, outputs.end(), std::back_inserter(cache));
      if (forced == nullptr && std::ranges::count(authored_.eos, ids.back()) != 0) {
        break;
      }
    }
    return steps;
  }

 private:
  static std::vector<OrtTensor> run(const OrtSession& session,
                                    const std::vector<OrtSession::Feed>& feeds) {
    std::vector<std::string> wanted;
    for (const OrtPort& port : session.outputs()) {
      wanted.push_back(port.name);
    }
    return session.run(feeds, wanted);
  }

  const Authored& authored_;
  TempFolder folder_;
  uint64_t bytes_ = 0;
  std::optional<OrtSession> encoder_;
  std::optional<OrtSession> decoder_;
  std::vector<OrtPort> past_;
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
