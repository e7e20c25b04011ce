#include "calibration/calibrate_file.h"

#include <algorithm>
#include <optional>

#include "base/fail.h"
#include "bundles/bundle.h"
#include "bundles/layout.h"
#include "bundles/manifest.h"
#include "graph/read_onnx.h"
#include "rewrite/fold.h"

namespace lorapress {
namespace {

namespace fs = std::filesystem;

constexpr const char* kConfig = "preprocessor_config.json";
constexpr int64_t kLargestSide = 4096;

// The folder of the file and the one above: pressed graphs lie in onnx/.
std::vector<fs::path> places(const fs::path& file) {
  const fs::path folder = fs::absolute(file).parent_path();
  return {folder, folder.parent_path()};
}

// The file as a part of a pressed folder.
struct Part {
  fs::path folder;
  Manifest manifest;
  std::string dtype;
  std::string role;
};

std::optional<Part> find_part(const fs::path& file) {
  for (const fs::path& folder : places(file)) {
    if (!fs::exists(folder / kManifestName)) {
      continue;
    }
    Part part{folder, read_manifest(folder), {}, {}};
    if (!has_transformers_js_layout(part.manifest.bundle)) {
      return std::nullopt;
    }
    for (const auto& [dtype, roles] : part.manifest.graphs) {
      for (const auto& [role, path] : roles) {
        std::error_code ignored;
        if (fs::equivalent(folder / path, file, ignored)) {
          part.dtype = dtype;
          part.role = role;
          return part;
        }
      }
    }
  }
  return std::nullopt;
}

ActivationStats calibrate_decoder(const Model& decoder,
                                  const Part& part,
                                  const CalibrationOptions& options,
                                  CalibrationReport& report) {
  const auto& roles = part.manifest.graphs.at(part.dtype);
  const auto path = roles.find("encoder");
  if (path == roles.end()) {
    fail(ErrorCode::kUnsupported,
         "{}: has no encoder in {}, which options.calibrate runs before the decoder",
         part.folder.string(),
         part.dtype);
  }
  const Model encoder = read_onnx(part.folder / path->second);
  return calibrate({encoder,
                    decoder,
                    part.manifest.preprocessing,
                    part.manifest.decoder_start_token_id,
                    part.manifest.eos_token_ids,
                    part.manifest.max_new_tokens,
                    false},
                   options,
                   report);
}

// The one input of a graph that takes an image.
struct ImageInput {
  std::string name;
  int64_t height = -1;  // -1: any
  int64_t width = -1;
};

[[noreturn]] void refuse(const fs::path& file, const std::string& why) {
  fail(
      ErrorCode::kUnsupported,
      "{}: {}; options.calibrate takes a graph whose one input is an image, float32 [1 or dynamic, 3, "
      "height, width], and encoder or decoder inside a transformers.js folder that press wrote",
      file.string(),
      why);
}

ImageInput image_input(const Model& model, const fs::path& file) {
  std::vector<const onnx::ValueInfoProto*> inputs;
  for (const auto& input : model.proto.graph().input()) {
    if (!model.weights.contains(input.name())) {
      inputs.push_back(&input);
    }
  }
  if (inputs.size() != 1) {
    refuse(file, fmt::format("has {} inputs", inputs.size()));
  }
  const std::string& name = inputs[0]->name();
  const auto type = declared_type(inputs[0]->type());
  if (!type || !type->has_shape || type->type.dtype != DType::kF32 || type->type.dims.size() != 4) {
    refuse(file, fmt::format("input {} is no float32 tensor of four dimensions", name));
  }
  const Dims& dims = type->type.dims;
  constexpr int64_t kChannels = 3;
  if ((dims[0].known() && dims[0].value != 1) || (dims[1].known() && dims[1].value != kChannels)) {
    refuse(file, fmt::format("input {} is [{}, {}, ...]", name, dims[0].value, dims[1].value));
  }
  return {name, dims[2].value, dims[3].value};
}

// A side of -1 in the input fits any size in the settings.
void require_size(const ImageInput& input, const Preprocessing& settings, const fs::path& where) {
  const auto fits = [](int64_t wanted, int64_t given) {
    return given >= 1 && given <= kLargestSide && (wanted < 0 || wanted == given);
  };
  if (!fits(input.height, settings.height) || !fits(input.width, settings.width)) {
    const auto side = [](int64_t wanted) {
      return wanted < 0 ? fmt::format("1 to {}", kLargestSide) : std::to_string(wanted);
    };
    fail(ErrorCode::kMismatch,
         "{}: size is {} x {}, input {} expects {} x {}",
         where.string(),
         settings.width,
         settings.height,
         input.name,
         side(input.width),
         side(input.height));
  }
}

Preprocessing preprocessing_of(const ImageInput& input,
                               const fs::path& file,
                               std::vector<std::string>& notes) {
  Preprocessing settings = kDefaultPreprocessing;
  settings.height = input.height;
  settings.width = input.width;
  for (const fs::path& folder : places(file)) {
    if (fs::exists(folder / kConfig)) {
      settings = read_preprocessing(folder / kConfig, settings);
      require_size(input, settings, folder / kConfig);
      return settings;
    }
  }
  if (input.height < 0 || input.width < 0) {
    fail(ErrorCode::kInvalidArgument,
         "{}: input {} takes images of any size and there is no {} beside it or in the folder "
         "above; put one there that says which size and normalisation the model was trained with",
         file.string(),
         input.name,
         kConfig);
  }
  require_size(input, settings, file);
  notes.push_back(
      fmt::format("no {} beside {}: images are calibrated with at {} x {}, {}, mean "
                  "{}, std {}",
                  kConfig,
                  file.filename().string(),
                  settings.width,
                  settings.height,
                  settings.resample,
                  settings.image_mean[0],
                  settings.image_std[0]));
  return settings;
}

}  // namespace

ActivationStats calibrate_file(const Model& model,
                               const fs::path& file,
                               const CalibrationOptions& options,
                               CalibrationReport& report) {
  const auto part = find_part(file);
  if (part && part->role == "decoder") {
    return calibrate_decoder(model, *part, options, report);
  }
  const ImageInput input = image_input(model, file);
  const Preprocessing settings =
      part ? part->manifest.preprocessing : preprocessing_of(input, file, report.notes);
  require_size(input, settings, part ? part->folder / kManifestName : file);
  return calibrate_image_graph(model, input.name, settings, options, report);
}

}  // namespace lorapress
