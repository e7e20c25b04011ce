#include "checkpoint/preprocessing.h"

#include <algorithm>
#include <cmath>

#include "base/fail.h"
#include "checkpoint/model_types.h"

namespace lorapress {
namespace {

constexpr const char* kFile = "preprocessor_config.json";
constexpr const char* kProcessorFile = "processor_config.json";

// PIL.Image.Resampling
struct ResampleRow {
  int64_t pillow;
  std::string_view name;
};
constexpr std::array kResamples = {
    ResampleRow{1, "lanczos"}, ResampleRow{2, "bilinear"}, ResampleRow{3, "bicubic"}};

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

// transformers 5 saves the name of the class that was used, of which transformers.js knows the
// plain one; transformers before 4.26 saved feature_extractor_type.
std::string processor_type(const Json& json, const std::string& usual, const std::string& where) {
  const auto older = json_or<std::string>(json, "feature_extractor_type", usual, where);
  auto type = json_or<std::string>(json, "image_processor_type", older, where);
  for (const std::string_view ending : {"Fast", "Pil"}) {
    if (type.ends_with(ending)) {
      type.erase(type.size() - ending.size());
    }
  }
  constexpr std::string_view kOld = "FeatureExtractor";
  if (type.ends_with(kOld)) {
    type.replace(type.size() - kOld.size(), kOld.size(), "ImageProcessor");
  }
  return type;
}

// {"height": h, "width": w}, or one number for both.
ImageSize sides(const Json& json,
                const char* key,
                const ImageSize& usual,
                const std::string& where) {
  const auto found = json.find(key);
  if (found == json.end() || !found->is_object()) {
    return {json_or<int64_t>(json, key, usual.width, where),
            json_or<int64_t>(json, key, usual.height, where)};
  }
  if (!found->contains("height")) {
    fail(ErrorCode::kUnsupported,
         "{}: \"{}\" is {}, expected height and width",
         where,
         key,
         found->dump().substr(0, 80));
  }
  return {json_get<int64_t>(*found, "width", where), json_get<int64_t>(*found, "height", where)};
}

// Sets height, width and shortest_edge. A number alone is the shorter side for the processors whose
// default it is (default_to_square = False in transformers), else both sides.
void read_size(const Json& json, const std::string& where, Preprocessing& settings) {
  const std::string& type = settings.image_processor_type;
  const bool crops =
      settings.shortest_edge != 0 || type.starts_with("CLIP") || type.starts_with("Bit");
  const auto size = json.find("size");
  const bool is_number = size != json.end() && size->is_number();
  const bool is_edge = size != json.end() && size->is_object() && size->contains("shortest_edge");
  const bool crop = json_or<bool>(json, "do_center_crop", crops, where);
  const ImageSize usual{settings.width, settings.height};
  int64_t edge = settings.shortest_edge;
  if (is_edge) {
    edge = json_get<int64_t>(*size, "shortest_edge", where);
  } else if (is_number && crops) {
    edge = size->get<int64_t>();
  } else if (size != json.end() && !size->is_null()) {
    edge = 0;
  }
  if (edge == 0) {
    const ImageSize whole = sides(json, "size", usual, where);
    const ImageSize cut = crop ? sides(json, "crop_size", whole, where) : whole;
    if (cut.width != whole.width || cut.height != whole.height) {
      fail(ErrorCode::kUnsupported,
           "{}: \"crop_size\" is {} x {} of a size of {} x {}, expected a size with shortest_edge",
           where,
           cut.width,
           cut.height,
           whole.width,
           whole.height);
    }
    settings.width = whole.width;
    settings.height = whole.height;
    settings.shortest_edge = 0;
    return;
  }
  if (!crop) {
    fail(ErrorCode::kUnsupported,
         "{}: \"size\" has shortest_edge and \"do_center_crop\" is false, which makes images of "
         "many sizes; expected height and width, or true",
         where);
  }
  const ImageSize cut =
      sides(json, "crop_size", is_edge || is_number ? ImageSize{edge, edge} : usual, where);
  constexpr int64_t kLongest = 8192;
  if (edge > kLongest || cut.width < 1 || cut.height < 1 || cut.width > edge || cut.height > edge) {
    fail(ErrorCode::kUnsupported,
         "{}: \"crop_size\" is {} x {}, expected 1 to shortest_edge, which is {} (to {})",
         where,
         cut.width,
         cut.height,
         edge,
         kLongest);
  }
  settings.width = cut.width;
  settings.height = cut.height;
  settings.shortest_edge = edge;
}

// The processor of a family for square images of this side.
Preprocessing family_preprocessing(const VisionModelType& family, int64_t side) {
  const ImageProcessorType& processor = family.processor;
  return {std::string(processor.name),
          side,
          side,
          std::string(processor.resample),
          1.0 / 255.0,
          processor.mean,
          processor.std,
          std::llround(processor.edge * static_cast<double>(side))};
}

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

// transformers 5 writes the image processor's settings into processor_config.json.
Json settings_of(Json json) {
  const bool nested = json.is_object() && json.contains("image_processor");
  return nested ? Json(json["image_processor"]) : std::move(json);
}

bool has_image_processor(const std::filesystem::path& file) {
  const Json json = std::filesystem::exists(file) ? read_json(file) : Json();
  return json.is_object() && json.contains("image_processor");
}

std::optional<std::filesystem::path> find_file(const Checkpoint& checkpoint) {
  for (const std::filesystem::path& folder : checkpoint.folders) {
    if (std::filesystem::exists(folder / kFile)) {
      return folder / kFile;
    }
    if (has_image_processor(folder / kProcessorFile)) {
      return folder / kProcessorFile;
    }
  }
  return std::nullopt;
}

}  // namespace

Preprocessing read_preprocessing(const std::filesystem::path& path, const Preprocessing& defaults) {
  Preprocessing settings = defaults;
  const std::string where = path.string();
  const Json json = settings_of(read_json(path));
  if (!json.is_object()) {
    fail(ErrorCode::kInvalidFile, "{}: expected a JSON object", where);
  }
  settings.image_processor_type = processor_type(json, settings.image_processor_type, where);
  if (settings.splitting) {
    read_splitting(json, settings, where);
  } else {
    read_size(json, where, settings);
  }
  for (const char* step : {"do_resize", "do_rescale", "do_normalize"}) {
    if (!json_or<bool>(json, step, true, where)) {
      fail(ErrorCode::kUnsupported, "{}: \"{}\" is false, expected true", where, step);
    }
  }
  // Published BLIP files have it; nothing is padded where all images are resized to one size.
  const bool pads = json_or<bool>(json, "do_pad", false, where) &&
                    !settings.image_processor_type.starts_with("Blip");
  if (!settings.splitting && pads) {
    fail(ErrorCode::kUnsupported, "{}: \"do_pad\" is not supported", where);
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

ImageSize resized_size(const ImageSize& image, const Preprocessing& settings) {
  if (settings.shortest_edge == 0) {
    return {settings.width, settings.height};
  }
  const int64_t edge = settings.shortest_edge;
  const bool upright = image.width <= image.height;
  const int64_t shorter = std::max(int64_t{1}, upright ? image.width : image.height);
  const int64_t longer = upright ? image.height : image.width;
  // int(edge * long / short): Python divides two integers in float64.
  const double length = static_cast<double>(edge * longer) / static_cast<double>(shorter);
  constexpr double kMost = 1 << 24;
  if (length > kMost) {
    fail(ErrorCode::kUnsupported,
         "an image of {} x {} pixels would become {:.0f} long, expected at most {:.0f}",
         image.width,
         image.height,
         length,
         kMost);
  }
  const auto cut = static_cast<int64_t>(length);
  return upright ? ImageSize{edge, cut} : ImageSize{cut, edge};
}

void fit_image_size(Checkpoint& checkpoint) {
  if (!checkpoint.vision) {
    return;
  }
  VisionConfig& vision = *checkpoint.vision;
  const VisionModelType& family = *find_model_type(vision_model_types(), vision.model_type);
  if (family.processor.size == 0) {
    return;
  }
  const auto file = find_file(checkpoint);
  const Preprocessing usual = family_preprocessing(family, family.processor.size);
  const Preprocessing settings = file ? read_preprocessing(*file, usual) : usual;
  if (settings.width != settings.height || settings.height < vision.patch_size ||
      settings.height > 8192) {
    fail(ErrorCode::kUnsupported,
         "{}: images are {} x {}, expected a square of {} to 8192 pixels",
         (file ? *file : checkpoint.folder).string(),
         settings.width,
         settings.height,
         vision.patch_size);
  }
  vision.position_size = vision.image_size;
  vision.image_size = settings.height;
}

Preprocessing find_preprocessing(const Checkpoint& checkpoint, std::vector<std::string>& notes) {
  const VisionConfig& vision = checkpoint.vision.value();
  const VisionModelType& family = *find_model_type(vision_model_types(), vision.model_type);
  Preprocessing settings = family_preprocessing(family, vision.image_size);
  if (family.splits_images) {
    settings.splitting = ImageSplitting{true, std::min(kMostEdge, 4 * vision.image_size), {}};
  }
  if (const auto file = find_file(checkpoint)) {
    settings = read_preprocessing(*file, settings);
    if (settings.height != vision.image_size || settings.width != vision.image_size) {
      fail(ErrorCode::kMismatch,
           "{}: size is {} x {}, the vision tower expects {} x {}",
           file->string(),
           settings.width,
           settings.height,
           vision.image_size,
           vision.image_size);
    }
    return settings;
  }
  const std::string cropped =
      settings.shortest_edge == 0
          ? ""
          : fmt::format("shorter side {}, of its middle ", settings.shortest_edge);
  notes.push_back(
      fmt::format("no {}: the defaults of {} are used ({}{} x {}, {}, mean {}, std {}{})",
                  kFile,
                  settings.image_processor_type,
                  cropped,
                  settings.width,
                  settings.height,
                  settings.resample,
                  fmt::join(settings.image_mean, " "),
                  fmt::join(settings.image_std, " "),
                  settings.splitting ? ", images are cut into tiles" : ""));
  return settings;
}

bool known_resample(std::string_view name) {
  return pillow_number(name) != 0;
}

Json preprocessor_config(const Preprocessing& settings) {
  const Json square{{"height", settings.height}, {"width", settings.width}};
  Json json{{"image_processor_type", settings.image_processor_type},
            {"do_resize", true},
            {"size", square},
            {"resample", pillow_number(settings.resample)},
            {"do_rescale", true},
            {"rescale_factor", settings.rescale_factor},
            {"do_normalize", true},
            {"image_mean", settings.image_mean},
            {"image_std", settings.image_std}};
  if (settings.shortest_edge != 0) {
    json["size"] = {{"shortest_edge", settings.shortest_edge}};
    json["do_center_crop"] = true;
    json["crop_size"] = square;
  }
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
