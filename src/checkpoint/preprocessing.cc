#include "checkpoint/preprocessing.h"

#include <algorithm>

#include "base/fail.h"
#include "checkpoint/model_types.h"

namespace lorapress {
namespace {

constexpr const char* kFile = "preprocessor_config.json";

// PIL.Image.Resampling
struct ResampleRow {
  int64_t pillow;
  std::string_view name;
};
constexpr std::array kResamples = {ResampleRow{1, "lanczos"}, ResampleRow{2, "bilinear"}, ResampleRow{3, "bicubic"}};

std::array<double, 3> three_numbers(const Json& json, const char* key, const std::string& where) {
  const auto found = json.find(key);
  if (found == json.end()) {
    fail(ErrorCode::kInvalidFile, "{}: \"{}\" is missing", where, key);
  }
  if (found->is_number()) {
    const double value = found->get<double>();
    return {value, value, value};
  }
  std::array<double, 3> values{};
  if (!found->is_array() || found->size() != values.size()) {
    fail(ErrorCode::kInvalidFile,
         "{}: \"{}\" is {}, expected three numbers",
         where,
         key,
         found->dump());
  }
  for (size_t i = 0; i < values.size(); ++i) {
    if (!(*found)[i].is_number()) {
      fail(ErrorCode::kInvalidFile,
           "{}: \"{}\" is {}, expected three numbers",
           where,
           key,
           found->dump());
    }
    values[i] = (*found)[i].get<double>();
  }
  return values;
}

int64_t pillow_number(std::string_view name) {
  const auto found = std::ranges::find(kResamples, name, &ResampleRow::name);
  return found == kResamples.end() ? 0 : found->pillow;
}

std::string resample_name(int64_t pillow, const std::string& where) {
  for (const ResampleRow& row : kResamples) {
    if (row.pillow == pillow) {
      return std::string(row.name);
    }
  }
  fail(ErrorCode::kUnsupported,
       "{}: resample {} is not supported (1 lanczos, 2 bilinear, 3 bicubic)",
       where,
       pillow);
}

constexpr int64_t kMostEdge = 4096;  // MAX_IMAGE_SIZE of image_processing_idefics3.py

// { "longest_edge": N } under `key`.
int64_t longest_edge(const Json& json, const char* key, int64_t usual, const std::string& where) {
  const auto found = json.find(key);
  if (found == json.end() || found->is_null()) {
    return usual;
  }
  if (!found->is_object() || !found->contains("longest_edge")) {
    fail(ErrorCode::kUnsupported,
         "{}: \"{}\" is {}, expected longest_edge",
         where,
         key,
         found->dump().substr(0, 80));
  }
  const auto edge = json_get<int64_t>(*found, "longest_edge", where);
  if (edge < 1 || edge > kMostEdge) {
    fail(ErrorCode::kInvalidFile,
         "{}: \"{}\" has longest_edge {}, expected 1 to {}",
         where,
         key,
         edge,
         kMostEdge);
  }
  return edge;
}

void read_splitting(const Json& json, Preprocessing& settings, const std::string& where) {
  ImageSplitting& splitting = *settings.splitting;
  splitting.longest_edge = longest_edge(json, "size", splitting.longest_edge, where);
  settings.height = longest_edge(json, "max_image_size", settings.height, where);
  settings.width = settings.height;
  splitting.enabled = json_or<bool>(json, "do_image_splitting", splitting.enabled, where);
}

void read_size(const Json& json, Preprocessing& settings, const std::string& where) {
  if (const auto size = json.find("size"); size != json.end() && size->is_object()) {
    if (!size->contains("height")) {
      fail(ErrorCode::kUnsupported,
           "{}: \"size\" is {}, expected height and width",
           where,
           size->dump().substr(0, 80));
    }
    settings.height = json_get<int64_t>(*size, "height", where);
    settings.width = json_get<int64_t>(*size, "width", where);
  } else {  // old versions wrote one number
    settings.height = json_or<int64_t>(json, "size", settings.height, where);
    settings.width = json_or<int64_t>(json, "size", settings.width, where);
  }
}

// transformers 5 writes the image processor's settings into processor_config.json.
Json settings_of(Json json) {
  const auto inner = json.is_object() ? json.find("image_processor") : json.end();
  return json.is_object() && inner != json.end() && inner->is_object() ? Json(*inner)
                                                                       : std::move(json);
}

bool has_image_processor(const std::filesystem::path& file) {
  const Json json = std::filesystem::exists(file) ? read_json(file) : Json();
  return json.is_object() && json.contains("image_processor");
}

}  // namespace

Preprocessing read_preprocessing(const std::filesystem::path& path, const Preprocessing& defaults) {
  Preprocessing settings = defaults;
  const std::string where = path.string();
  const Json json = settings_of(read_json(path));
  if (!json.is_object()) {
    fail(ErrorCode::kInvalidFile, "{}: expected a JSON object", where);
  }
  settings.image_processor_type =
      json_or<std::string>(json, "image_processor_type", settings.image_processor_type, where);
  if (settings.splitting) {
    read_splitting(json, settings, where);
  } else {
    read_size(json, settings, where);
  }
  for (const char* step : {"do_resize", "do_rescale", "do_normalize"}) {
    if (!json_or<bool>(json, step, true, where)) {
      fail(ErrorCode::kUnsupported, "{}: \"{}\" is false, expected true", where, step);
    }
  }
  if (json_or<bool>(json, "do_center_crop", false, where)) {
    fail(ErrorCode::kUnsupported, "{}: \"do_center_crop\" is not supported", where);
  }
  const int64_t usual = pillow_number(settings.resample);
  settings.resample = resample_name(json_or<int64_t>(json, "resample", usual, where), where);
  settings.rescale_factor = json_or<double>(json, "rescale_factor", settings.rescale_factor, where);
  if (json.contains("image_mean")) {
    settings.image_mean = three_numbers(json, "image_mean", where);
    settings.image_std = three_numbers(json, "image_std", where);
  }
  for (const double std : settings.image_std) {
    if (!(std > 0.0)) {
      fail(ErrorCode::kInvalidFile,
           "{}: \"image_std\" holds {}, expected positive numbers",
           where,
           std);
    }
  }
  return settings;
}

const Preprocessing kDefaultPreprocessing{
    "", 0, 0, "bicubic", 1.0 / 255.0, {0.5, 0.5, 0.5}, {0.5, 0.5, 0.5}};

Preprocessing find_preprocessing(const Checkpoint& checkpoint, std::vector<std::string>& notes) {
  const VisionConfig& vision = checkpoint.vision.value();
  const VisionModelType& family = *find_model_type(vision_model_types(), vision.model_type);
  const double mean = family.image_mean;
  const double std = family.image_std;
  Preprocessing settings{std::string(family.image_processor_type),
                         vision.image_size,
                         vision.image_size,
                         std::string(family.resample),
                         1.0 / 255.0,
                         {mean, mean, mean},
                         {std, std, std}};
  if (family.splits_images) {
    settings.splitting = ImageSplitting{true, std::min(kMostEdge, 4 * vision.image_size)};
  }
  for (const std::filesystem::path& folder : checkpoint.folders) {
    const bool own = std::filesystem::exists(folder / kFile);
    if (const auto file = folder / (own ? kFile : "processor_config.json");
        own || has_image_processor(file)) {
      settings = read_preprocessing(file, settings);
      if (settings.height != vision.image_size || settings.width != vision.image_size) {
        fail(ErrorCode::kMismatch,
             "{}: size is {} x {}, the vision tower expects {} x {}",
             file.string(),
             settings.width,
             settings.height,
             vision.image_size,
             vision.image_size);
      }
      return settings;
    }
  }
  notes.push_back(fmt::format("no {}: the defaults of {} are used ({} x {}, {}, mean {}, std {})",
                              kFile,
                              settings.image_processor_type,
                              settings.width,
                              settings.height,
                              settings.resample,
                              mean,
                              std));
  return settings;
}

bool known_resample(std::string_view name) {
  return pillow_number(name) != 0;
}

Json preprocessor_config(const Preprocessing& settings) {
  Json json = {{"image_processor_type", settings.image_processor_type},
          {"do_resize", true},
          {"size", {{"height", settings.height}, {"width", settings.width}}},
          {"resample", pillow_number(settings.resample)},
          {"do_rescale", true},
          {"rescale_factor", settings.rescale_factor},
          {"do_normalize", true},
          {"image_mean", settings.image_mean},
          {"image_std", settings.image_std}};
  if (settings.splitting) {
    json["do_convert_rgb"] = true;
    json["do_pad"] = true;
    json["do_image_splitting"] = settings.splitting->enabled;
    json["size"] = {{"longest_edge", settings.splitting->longest_edge}};
    json["max_image_size"] = {{"longest_edge", settings.height}};
  }
  return json;
}

}  // namespace lorapress
