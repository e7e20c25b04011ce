#include <mutex>

#include "lorapress/c_api.h"
#include "lorapress/caption.h"
#include "lorapress/caption_files.h"

#include "base/fail.h"
#include "base/json.h"
#include "c_api/boundary.h"

struct lorapress_captioner {
  lorapress::Captioner captioner;
  std::mutex mutex;  // calls of one captioner wait for each other
};

namespace lorapress::c_api {
namespace {

constexpr int64_t kDefaultBatch = 8;

ImageSource to_source(const lorapress_image& image, size_t index) {
  switch (image.kind) {
    case LORAPRESS_IMAGE_PATH:
      require_pointer(image.data, "the path of an image");
      return to_path({static_cast<const char*>(image.data), image.size});
    case LORAPRESS_IMAGE_BYTES:
      if (image.size > 0) {
        require_pointer(image.data, "the data of an image");
      }
      // Without its index: the caller may give parts of a list, and knows which image this is.
      return ImageBytes{{static_cast<const std::byte*>(image.data), image.size}, "the image"};
    case LORAPRESS_IMAGE_PIXELS:
      require_pointer(image.data, "the data of an image");
      return ImagePixels{static_cast<const uint8_t*>(image.data),
                         image.height,
                         image.width,
                         static_cast<ptrdiff_t>(image.row_stride),
                         static_cast<ptrdiff_t>(image.column_stride),
                         static_cast<ptrdiff_t>(image.channel_stride)};
    default:
      fail(ErrorCode::kInvalidArgument, "image {}: kind {} is none", index, image.kind);
  }
}

Json to_object(const ImageCaption& result, const Options& options) {
  if (result.error) {
    return {{"error",
             {{"code", result.error->code_name()},
              {"message", one_line(options.renamed(result.error->what()))}}}};
  }
  const Caption& caption = result.caption;
  Json json = {{"text", caption.text},
               {"ids", caption.ids},
               {"encode_ms", caption.encode_ms},
               {"prefill_ms", caption.prefill_ms},
               {"decode_ms", caption.decode_ms}};
  if (caption.score != 0.0) {
    json["score"] = caption.score;
  }
  return json;
}

std::string to_text(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string captioner_info(const Captioner& captioner) {
  const GraphDtypes dtypes = captioner.dtypes();
  const UsedEngine engine = captioner.engine();
  return to_text(
      {{"dtypes",
        {{"encoder", dtypes.encoder}, {"prefill", dtypes.prefill}, {"decoder", dtypes.decoder}}},
       {"engine", {{"name", engine.name}, {"version", engine.version}, {"note", engine.note}}},
       {"at_once", captioner.at_once()},
       {"height", captioner.height()},
       {"width", captioner.width()}});
}

std::string captions_of(lorapress_captioner& captioner,
                        std::span<const lorapress_image> images,
                        Options& options) {
  const GenerateOptions generate = options.generation();
  int64_t batch = kDefaultBatch;
  options.take("batch", batch);
  options.finish();
  std::vector<ImageSource> sources;
  for (size_t i = 0; i < images.size(); ++i) {
    sources.push_back(to_source(images[i], i));
  }
  const std::scoped_lock lock(captioner.mutex);
  Json list = Json::array();
  caption_images(captioner.captioner,
                 sources,
                 generate,
                 batch,
                 [&](size_t /*index*/, const ImageCaption& result) {
                   list.push_back(to_object(result, options));
                 });
  return to_text(list);
}

}  // namespace
}  // namespace lorapress::c_api

namespace c_api = lorapress::c_api;

extern "C" {

int32_t lorapress_captioner_open(const char* folder,
                                 const char* options,
                                 lorapress_captioner** captioner,
                                 lorapress_error* error) {
  return c_api::guarded(options, error, [&](c_api::Options& given) {
    c_api::require_pointer(folder, "folder");
    c_api::require_pointer(captioner, "captioner");
    lorapress::CaptionerOptions chosen;
    given.take("dtype", chosen.dtype);
    given.take("threads", chosen.threads);
    given.take("engine", chosen.engine);
    given.take("at_once", chosen.at_once);
    given.finish();
    *captioner = new lorapress_captioner{lorapress::Captioner(c_api::to_path(folder), chosen), {}};
  });
}

int32_t lorapress_captioner_info(lorapress_captioner* captioner,
                                 char** info,
                                 lorapress_error* error) {
  return c_api::guarded(nullptr, error, [&](c_api::Options&) {
    c_api::require_pointer(captioner, "captioner");
    c_api::require_pointer(info, "info");
    *info = c_api::hand_out(c_api::captioner_info(captioner->captioner));
  });
}

int32_t lorapress_captioner_caption(lorapress_captioner* captioner,
                                    const lorapress_image* images,
                                    size_t count,
                                    const char* options,
                                    char** captions,
                                    lorapress_error* error) {
  return c_api::guarded(options, error, [&](c_api::Options& given) {
    c_api::require_pointer(captioner, "captioner");
    c_api::require_pointer(captions, "captions");
    if (count > 0) {
      c_api::require_pointer(images, "images");
    }
    *captions = c_api::hand_out(c_api::captions_of(*captioner, {images, count}, given));
  });
}

void lorapress_captioner_close(lorapress_captioner* captioner) {
  delete captioner;
}

}  // extern "C"
