#include "verbs/calibrate.h"

#include <algorithm>

#include "base/fail.h"
#include "graph/write.h"
#include "passes/observe.h"
#include "runtime/ort.h"
#include "runtime/preprocess.h"
#include "runtime/sampling.h"

namespace lorapress {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> image_files(const fs::path& folder) {
  if (!fs::is_directory(folder)) {
    fail(
        ErrorCode::kNotFound, "{}: not a folder; --calibrate takes one of images", folder.string());
  }
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.is_regular_file()) {
      files.push_back(entry.path());
    }
  }
  std::ranges::sort(files);
  return files;
}

// A graph whose linear layers are observed, as a session over a file that lives as long as it.
class ObservedSession {
 public:
  ObservedSession(Model model, const CalibrationOptions& options)
      : observed_(observe_linear_inputs(model)), files_(write(model, options)) {
    session_ = std::make_unique<OrtSession>(files_.at(0), options.threads);
    for (const auto& [weight, output] : observed_) {
      observers_.push_back(output);
    }
    std::ranges::sort(observers_);
    observers_.erase(std::ranges::unique(observers_).begin(), observers_.end());
    sums_.resize(observers_.size());
  }
  ~ObservedSession() {
    session_.reset();
    for (const fs::path& file : files_) {
      std::error_code ignored;
      fs::remove(file, ignored);
    }
  }
  ObservedSession(const ObservedSession&) = delete;
  ObservedSession& operator=(const ObservedSession&) = delete;

  [[nodiscard]] const OrtSession& session() const { return *session_; }

  // As OrtSession::run; what the observers say is added up.
  std::vector<OrtTensor> run(const std::vector<OrtSession::Feed>& feeds,
                             std::vector<std::string> wanted) {
    const size_t count = wanted.size();
    wanted.insert(wanted.end(), observers_.begin(), observers_.end());
    std::vector<OrtTensor> outputs = session_->run(feeds, wanted);
    for (size_t i = 0; i < observers_.size(); ++i) {
      const auto values = outputs[count + i].as_floats();
      sums_[i].resize(values.size());
      std::ranges::transform(sums_[i], values, sums_[i].begin(), std::plus<double>());
    }
    outputs.erase(outputs.begin() + static_cast<ptrdiff_t>(count), outputs.end());
    return outputs;
  }

  void add_to(ActivationStats& stats) const {
    for (const auto& [weight, output] : observed_) {
      const auto at = std::ranges::lower_bound(observers_, output) - observers_.begin();
      const std::vector<double>& sums = sums_[static_cast<size_t>(at)];
      stats[weight].assign(sums.begin(), sums.end());
    }
  }

 private:
  static std::vector<fs::path> write(const Model& model, const CalibrationOptions& options) {
    const std::vector<FilePlan> plans = plan_onnx(model, options.scratch / "calibrate.onnx", false);
    write_files(plans, {.hash = false, .threads = options.threads, .progress = options.progress});
    std::vector<fs::path> files;
    for (const FilePlan& plan : plans) {
      files.push_back(plan.path());
    }
    return files;
  }

  std::map<std::string, std::string> observed_;  // weight -> output
  std::vector<fs::path> files_;
  std::unique_ptr<OrtSession> session_;
  std::vector<std::string> observers_;  // sorted
  std::vector<std::vector<double>> sums_;
};

std::vector<OrtTensor> encode_images(ObservedSession& encoder,
                                     const CalibrationModel& model,
                                     const CalibrationOptions& options,
                                     std::vector<std::string>& notes) {
  const Preprocessing& settings = model.preprocessing;
  const std::vector<fs::path> files = image_files(options.images);
  std::vector<OrtTensor> encoded;
  size_t passed_over = 0;
  for (const fs::path& file : files) {
    if (encoded.size() == kMaxCalibrationImages) {
      break;
    }
    Image image;
    try {
      image = load_image(file);
    } catch (const Error&) {
      ++passed_over;
      continue;
    }
    const std::vector<float> pixels = preprocess(image, settings);
    const OrtTensor input = OrtTensor::floats({1, 3, settings.height, settings.width}, pixels);
    encoded.push_back(
        std::move(encoder.run({{"pixel_values", &input}}, {"last_hidden_state"}).at(0)));
    if (options.progress) {
      options.progress(
          {"calibrate", encoded.size(), std::min(files.size(), kMaxCalibrationImages)});
    }
  }
  if (encoded.empty()) {
    fail(ErrorCode::kNotFound,
         "{}: no image to calibrate with; expected JPEG, PNG or WebP files",
         options.images.string());
  }
  notes.push_back(fmt::format(
      "calibrated with {} images of {}{}",
      encoded.size(),
      options.images.string(),
      passed_over == 0 ? "" : fmt::format(" ({} other files passed over)", passed_over)));
  return encoded;
}

// Greedy, as Captioner, with a cache that starts empty; the text itself is of no interest.
class Generator {
 public:
  Generator(ObservedSession& decoder, const CalibrationModel& model)
      : decoder_(decoder), model_(model) {
    wanted_.emplace_back("logits");
    for (const OrtPort& port : decoder.session().inputs()) {
      constexpr std::string_view kPast = "past_key_values.";
      if (port.name.starts_with(kPast)) {
        past_.push_back(port);
        wanted_.push_back("present." + port.name.substr(kPast.size()));
      }
    }
  }

  void run(const OrtTensor& image) {
    std::vector<OrtTensor> cache;
    for (const OrtPort& port : past_) {
      cache.emplace_back(port.dtype, Shape{1, port.shape.at(1), 0, port.shape.at(3)});
    }
    int64_t token = model_.decoder_start_token_id;
    for (int64_t step = 0; step < model_.max_new_tokens; ++step) {
      const OrtTensor ids = OrtTensor::integers({1, 1}, {&token, 1});
      std::vector<OrtSession::Feed> feeds{{"input_ids", &ids}, {"encoder_hidden_states", &image}};
      for (size_t i = 0; i < past_.size(); ++i) {
        feeds.push_back({past_[i].name, &cache[i]});
      }
      std::vector<OrtTensor> outputs = decoder_.run(feeds, wanted_);
      token = argmax(outputs[0].as_floats());
      if (std::ranges::find(model_.eos_token_ids, token) != model_.eos_token_ids.end()) {
        return;
      }
      cache.clear();
      std::move(outputs.begin() + 1, outputs.end(), std::back_inserter(cache));
    }
  }

 private:
  ObservedSession& decoder_;
  const CalibrationModel& model_;
  std::vector<OrtPort> past_;
  std::vector<std::string> wanted_;
};

}  // namespace

ActivationStats calibrate(const CalibrationModel& model,
                          const CalibrationOptions& options,
                          std::vector<std::string>& notes) {
  ActivationStats stats;
  std::vector<OrtTensor> images;
  {  // one session at a time: each holds its graph in memory
    ObservedSession encoder(model.encoder, options);
    images = encode_images(encoder, model, options, notes);
    encoder.add_to(stats);
  }
  ObservedSession decoder(model.decoder, options);
  Generator generator(decoder, model);
  for (size_t i = 0; i < images.size(); ++i) {
    generator.run(images[i]);
    if (options.progress) {
      options.progress({"calibrate", i + 1, images.size()});
    }
  }
  decoder.add_to(stats);
  return stats;
}

}  // namespace lorapress
