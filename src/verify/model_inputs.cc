#include "verify/model_inputs.h"

#include <algorithm>

#include "base/fail.h"
#include "base/file.h"
#include "bundles/image_token.h"
#include "runtime/graph_choice.h"
#include "runtime/preprocess.h"

namespace lorapress {
namespace {

constexpr const char* kProcessor = "processor_config.json";

std::optional<ChatTemplate> template_of(const TokenizerFiles& files) {
  const auto text = files.files.find(kChatTemplate);
  if (text == files.files.end()) {
    return std::nullopt;
  }
  const auto config = files.files.find("tokenizer_config.json");
  const std::string where = (files.folder / "tokenizer_config.json").string();
  return make_chat_template(
      text->second,
      (files.folder / kChatTemplate).string(),
      config == files.files.end() ? Json::object() : parse_json(config->second, where));
}

// Image tokens that stock transformers.js makes of one tile: LlavaProcessor and Idefics3Processor there.
int64_t stock_positions(const Json& processor, const Checkpoint& checkpoint) {
  const std::string where = kProcessor;
  if (processor.contains("image_seq_len")) {
    return json_get<int64_t>(processor, "image_seq_len", where);
  }
  const auto patch = json_get<int64_t>(processor, "patch_size", where);
  const int64_t side = patch < 1 ? 0 : checkpoint.vision->image_size / patch;
  return side * side + json_or<int64_t>(processor, "num_additional_image_tokens", 0, where);
}

}  // namespace

ModelInputs::ModelInputs(const std::filesystem::path& folder,
                         const Manifest& manifest,
                         const Checkpoint& checkpoint,
                         const TokenizerFiles& files,
                         const Preprocessing& preprocessing)
    : manifest_(manifest), preprocessing_(preprocessing) {
  if (!takes_images(manifest)) {
    constexpr int64_t kNone = -1;
    checkpoint_ =
        Side{Tokenizer::from_json(files.files.at("tokenizer.json"), files.folder.string()),
             std::nullopt,
             kNone,
             0,
             nullptr};
    folder_ =
        Side{Tokenizer::from_file(folder / "tokenizer.json"), std::nullopt, kNone, 0, nullptr};
    return;
  }
  if (!embeds_apart(manifest)) {
    return;
  }
  masked_ = preprocessing.splitting.has_value();
  const ImageToken token = image_token(checkpoint, files);
  checkpoint_ = Side{Tokenizer::from_json(token.tokenizer.dump(), files.folder.string()),
                     template_of(files),
                     token.id,
                     checkpoint.image_positions(),
                     &preprocessing_};
  folder_ = Side{Tokenizer::from_file(folder / "tokenizer.json"),
                 std::nullopt,
                 manifest.image_token_id,
                 manifest.image_tokens,
                 &manifest_.preprocessing};
  if (!manifest.chat_template.empty()) {
    folder_->chat = read_chat_template(folder, manifest.chat_template);
  }
}

std::vector<int64_t> ModelInputs::prompt_ids(const Side& side, const TiledPixels& pixels) const {
  ImagePlaces places{side.image_token_id, side.positions};
  if (const auto& splitting = side.preprocessing->splitting) {
    places.text = tiles_prompt(pixels.rows, pixels.columns, side.positions, splitting->tokens);
  }
  return placeholder_ids(
      side.tokenizer, side.chat ? &*side.chat : nullptr, places, {}, manifest_.prompt);
}

ModelInputs::OfImage ModelInputs::of(const Image& image) const {
  TiledPixels ours = tiled_pixels(image, preprocessing_);
  TiledPixels theirs = tiled_pixels(image, manifest_.preprocessing);
  OfImage made;
  if (checkpoint_) {
    made.prompt = {prompt_ids(*checkpoint_, ours), checkpoint_->image_token_id};
    made.first_ids = prompt_ids(*folder_, theirs);
    if (theirs.values.size() != ours.values.size()) {
      made.fault = fmt::format("an image becomes {} tiles, expected {}",
                               theirs.rows * theirs.columns + 1,
                               ours.rows * ours.columns + 1);
      theirs = ours;  // what else is wrong is found all the same
      made.first_ids = made.prompt.ids;
    } else if (made.first_ids != made.prompt.ids) {
      made.fault = fmt::format(
          "the prompt of an image is [{}], expected [{}]: another tokenizer, chat template or processor",
          fmt::join(made.first_ids, ", "),
          fmt::join(made.prompt.ids, ", "));
      made.first_ids = made.prompt.ids;
    }
  } else {
    made.first_ids = {manifest_.decoder_start_token_id};
  }
  made.checkpoint_pixels = std::move(ours.values);
  made.folder_pixels = std::move(theirs.values);
  return made;
}

ModelInputs::OfImage ModelInputs::of(const std::string& prompt) const {
  OfImage made;
  made.prompt = {text_ids(checkpoint_->tokenizer, nullptr, {}, prompt), -1};
  made.first_ids = text_ids(folder_->tokenizer, nullptr, {}, prompt);
  if (made.first_ids.empty()) {
    fail(ErrorCode::kInvalidArgument, "the prompt has no tokens, and the model needs one");
  }
  if (made.first_ids != made.prompt.ids) {
    made.fault = fmt::format("the ids of a prompt are [{}], expected [{}]: another tokenizer",
                             fmt::join(made.first_ids, ", "),
                             fmt::join(made.prompt.ids, ", "));
    made.first_ids = made.prompt.ids;
  }
  return made;
}

std::vector<uint8_t> ModelInputs::part_of_tile() const {
  const int64_t size = preprocessing_.height;
  std::vector<uint8_t> seen(masked_ ? static_cast<size_t>(size * size) : 0);
  for (size_t i = 0; i < seen.size(); ++i) {
    const auto row = static_cast<int64_t>(i) / size;
    const auto column = static_cast<int64_t>(i) % size;
    seen[i] = row < size * 2 / 3 && column < size * 2 / 5 ? 1 : 0;
  }
  return seen;
}

std::vector<std::string> image_place_faults(const std::filesystem::path& folder,
                                            const Manifest& manifest,
                                            const Checkpoint& checkpoint,
                                            const TokenizerFiles& files) {
  std::vector<std::string> faults;
  if (!embeds_apart(manifest)) {
    return faults;
  }
  if (manifest.conditioning != conditioning_name(Conditioning::kPlaceholder)) {
    faults.push_back(fmt::format("{}: conditioning is \"{}\", expected \"placeholder\"",
                                 kManifestName,
                                 manifest.conditioning));
  }
  if (!std::filesystem::exists(folder / kProcessor)) {
    faults.push_back(fmt::format("{}: is missing", kProcessor));
  } else {
    const int64_t positions = stock_positions(read_json(folder / kProcessor), checkpoint);
    if (positions != checkpoint.image_positions()) {
      faults.push_back(fmt::format("{}: an image gets {} tokens, expected {}",
                                   kProcessor,
                                   positions,
                                   checkpoint.image_positions()));
    }
  }
  const auto wanted = files.files.find(kChatTemplate);
  const std::string found =
      manifest.chat_template.empty() ? std::string() : read_text(folder / manifest.chat_template);
  if (found != (wanted == files.files.end() ? std::string() : wanted->second)) {
    faults.push_back(fmt::format("{}: is not the checkpoint's chat template", kChatTemplate));
  }
  return faults;
}

}  // namespace lorapress
