#include "verify/folder_check.h"

#include <algorithm>
#include <cmath>

#include "base/fail.h"
#include "base/file.h"
#include "bundles/image_token.h"
#include "checkpoint/generation_settings.h"
#include "runtime/generation/tokenizer.h"
#include "runtime/graph_choice.h"
#include "verify/model_inputs.h"

namespace lorapress {
namespace {

constexpr const char* kPreprocessor = "preprocessor_config.json";
constexpr const char* kTokenizer = "tokenizer.json";

// Numbers written as JSON are read back exact to the last bit or two.
bool same_number(double left, double right) {
  return std::fabs(left - right) <= 1e-12 * std::max(std::fabs(left), std::fabs(right));
}

bool same_numbers(const std::array<double, 3>& left, const std::array<double, 3>& right) {
  return std::ranges::equal(left, right, same_number);
}

void check_shapes(const std::filesystem::path& folder,
                  const Manifest& manifest,
                  const Checkpoint& checkpoint,
                  const TokenizerFiles& files) {
  const TextConfig& text = checkpoint.text.value();
  struct Row {
    const char* name;
    int64_t found;
    int64_t expected;
  };
  std::vector<Row> rows = {
      {"vocab_size", manifest.vocab_size, text.vocab_size},
      {"num_hidden_layers", manifest.num_hidden_layers, text.num_hidden_layers},
      {"num_key_value_heads", manifest.num_key_value_heads, text.num_key_value_heads},
      {"head_dim", manifest.head_dim, text.head_dim},
  };
  if (takes_images(manifest)) {
    const int64_t side = checkpoint.vision.value().image_size;
    rows.push_back({"image_tokens", manifest.image_tokens, checkpoint.image_positions()});
    rows.push_back({"image height", manifest.preprocessing.height, side});
    rows.push_back({"image width", manifest.preprocessing.width, side});
  }
  if (embeds_apart(manifest)) {
    rows.push_back({"image_token_id", manifest.image_token_id, image_token(checkpoint, files).id});
  }
  std::vector<std::string> differences;
  for (const Row& row : rows) {
    if (row.found != row.expected) {
      differences.push_back(
          fmt::format("{} is {}, expected {}", row.name, row.found, row.expected));
    }
  }
  if (!differences.empty()) {
    fail(ErrorCode::kMismatch,
         "{}: is not the model of {}: {}",
         folder.string(),
         checkpoint.folder.string(),
         fmt::join(differences, "; "));
  }
}

// transformers.js reads preprocessor_config.json, all other clients read the manifest: both are checked.
void check_preprocessing(const std::filesystem::path& folder,
                         const Manifest& manifest,
                         const Checkpoint& checkpoint,
                         FolderCheck& check) {
  const auto report = [&](const char* file, const Preprocessing& found) {
    for (const std::string& difference : differing_settings(found, check.preprocessing)) {
      check.faults.push_back(fmt::format("{}: {}", file, difference));
    }
  };
  report(kManifestName, manifest.preprocessing);
  if (!std::filesystem::exists(folder / kPreprocessor)) {
    check.faults.push_back(fmt::format("{}: is missing", kPreprocessor));
    return;
  }
  Checkpoint view;  // the same vision tower, with the folder's file
  view.folder = folder;
  view.vision = checkpoint.vision;
  view.folders = {folder};
  std::vector<std::string> notes;
  try {
    report(kPreprocessor, find_preprocessing(view, notes));
  } catch (const Error& error) {
    check.faults.emplace_back(error.what());
  }
}

void check_tokens(const Manifest& manifest, FolderCheck& check) {
  std::vector<int64_t> found = manifest.eos_token_ids;
  std::vector<int64_t> expected = check.files.tokens.eos_token_ids;
  std::ranges::sort(found);
  std::ranges::sort(expected);
  if (found != expected) {
    check.faults.push_back(fmt::format("{}: eos_token_id is [{}], expected [{}]",
                                       kManifestName,
                                       fmt::join(found, ", "),
                                       fmt::join(expected, ", ")));
  }
}

// All settings but the greatest length, which `press --max-new-tokens` sets.
void check_generation(const Manifest& manifest, FolderCheck& check) {
  const auto settings = [](GenerationSettings those) {
    those.max_length.reset();
    return generation_settings_json(those);
  };
  const Json found = settings(manifest.generation);
  const Json expected = settings(check.generation);
  Json keys = found;
  keys.update(expected);
  for (const auto& [key, value] : keys.items()) {
    const Json there = found.value(key, Json());
    const Json wanted = expected.value(key, Json());
    if (there != wanted) {
      const auto text = [](const Json& json) {
        return json.is_null() ? "not set" : json.dump().substr(0, 80);
      };
      check.faults.push_back(
          fmt::format("{}: {} is {}, expected {}", kManifestName, key, text(there), text(wanted)));
    }
  }
}

// The same bytes, or else the same text for every token.
void check_tokenizer(const std::filesystem::path& folder,
                     const TokenizerFiles& files,
                     int64_t vocab_size,
                     FolderCheck& check) {
  const std::string& wanted = files.files.at(kTokenizer);
  const std::string found = read_text(folder / kTokenizer);
  if (found == wanted) {
    return;
  }
  const Tokenizer ours = Tokenizer::from_json(wanted, (files.folder / kTokenizer).string());
  const Tokenizer theirs = Tokenizer::from_json(found, (folder / kTokenizer).string());
  for (int64_t id = 0; id < vocab_size; ++id) {
    const std::vector<int64_t> one{id};
    if (ours.decode(one) != theirs.decode(one)) {
      check.faults.push_back(
          fmt::format("{}: token {} is another text than in the checkpoint's", kTokenizer, id));
      return;
    }
  }
  check.notes.push_back(fmt::format(
      "{} is not the checkpoint's byte for byte; every token is the same text", kTokenizer));
}

}  // namespace

std::vector<std::string> differing_settings(const Preprocessing& found,
                                            const Preprocessing& expected) {
  std::vector<std::string> differences;
  const auto differ = [&](const char* name, const auto& left, const auto& right) {
    differences.push_back(fmt::format("{} is {}, expected {}", name, left, right));
  };
  if (found.height != expected.height || found.width != expected.width) {
    differ("size",
           fmt::format("{} x {}", found.width, found.height),
           fmt::format("{} x {}", expected.width, expected.height));
  }
  if (found.shortest_edge != expected.shortest_edge) {
    differ("shortest_edge", found.shortest_edge, expected.shortest_edge);
  }
  if (found.resample != expected.resample) {
    differ("resample", found.resample, expected.resample);
  }
  if (!same_number(found.rescale_factor, expected.rescale_factor)) {
    differ("rescale_factor", found.rescale_factor, expected.rescale_factor);
  }
  if (!same_numbers(found.image_mean, expected.image_mean)) {
    differ("image_mean", found.image_mean, expected.image_mean);
  }
  if (!same_numbers(found.image_std, expected.image_std)) {
    differ("image_std", found.image_std, expected.image_std);
  }
  const bool splits = found.splitting.has_value();
  if (splits != expected.splitting.has_value()) {
    differ("image splitting", splits, !splits);
  } else if (splits) {
    if (found.splitting->enabled != expected.splitting->enabled) {
      differ("do_image_splitting", found.splitting->enabled, expected.splitting->enabled);
    }
    if (found.splitting->longest_edge != expected.splitting->longest_edge) {
      differ("longest_edge", found.splitting->longest_edge, expected.splitting->longest_edge);
    }
  }
  return differences;
}

FolderCheck check_folder(const std::filesystem::path& folder,
                         const Manifest& manifest,
                         const Checkpoint& checkpoint) {
  FolderCheck check;
  check.files = find_tokenizer(checkpoint, manifest.overrides);
  check_shapes(folder, manifest, checkpoint, check.files);
  check.generation = check.files.generation.settings;
  if (takes_images(manifest)) {
    check.preprocessing = find_preprocessing(checkpoint, check.notes);
    check_preprocessing(folder, manifest, checkpoint, check);
  }
  check_tokens(manifest, check);
  check_generation(manifest, check);
  check_tokenizer(folder, check.files, manifest.vocab_size, check);
  std::ranges::move(image_place_faults(folder, manifest, checkpoint, check.files),
                    std::back_inserter(check.faults));
  return check;
}

}  // namespace lorapress
