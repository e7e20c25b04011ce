// WebP through libwebp's demuxer, which treats a still picture as an animation of one frame.
#include <memory>
#include <webp/decode.h>
#include <webp/demux.h>

#include "runtime/image/image_formats.h"

namespace lorapress::image_formats {
namespace {

struct DeleteDemuxer {
  void operator()(WebPDemuxer* demuxer) const { WebPDemuxDelete(demuxer); }
};
using Demuxer = std::unique_ptr<WebPDemuxer, DeleteDemuxer>;

class FirstFrame {
 public:
  explicit FirstFrame(const Demuxer& demuxer) {
    found_ = WebPDemuxGetFrame(demuxer.get(), 1, &frame_) != 0;
  }
  ~FirstFrame() { WebPDemuxReleaseIterator(&frame_); }
  FirstFrame(const FirstFrame&) = delete;
  FirstFrame& operator=(const FirstFrame&) = delete;

  [[nodiscard]] bool usable() const { return found_ && frame_.complete != 0; }
  const WebPIterator* operator->() const { return &frame_; }

 private:
  WebPIterator frame_{};
  bool found_ = false;
};

std::string_view reason_of(VP8StatusCode status) {
  switch (status) {
    case VP8_STATUS_OUT_OF_MEMORY:
      return "libwebp ran out of memory";
    case VP8_STATUS_UNSUPPORTED_FEATURE:
      return "it uses a feature that libwebp does not know";
    case VP8_STATUS_SUSPENDED:
    case VP8_STATUS_NOT_ENOUGH_DATA:
      return kTruncated;
    default:
      return "the bit stream is broken";
  }
}

std::span<const uint8_t> find_chunk(const Demuxer& demuxer, const char* fourcc) {
  WebPChunkIterator chunk{};
  std::span<const uint8_t> bytes;
  if (WebPDemuxGetChunk(demuxer.get(), fourcc, 1, &chunk) != 0) {
    bytes = {chunk.chunk.bytes, chunk.chunk.size};  // points into the file
  }
  WebPDemuxReleaseChunkIterator(&chunk);
  return bytes;
}

// The frame is drawn onto a black canvas: Pillow's is transparent black and then loses its alpha.
void decode_frame(const Encoded& file, const FirstFrame& frame, Image& image) {
  const int64_t right = int64_t{frame->x_offset} + frame->width;
  const int64_t bottom = int64_t{frame->y_offset} + frame->height;
  if (right > image.width || bottom > image.height) {
    fail_broken(file, "WebP", "the first frame is larger than the picture");
  }
  WebPDecoderConfig config;
  WebPInitDecoderConfig(&config);
  const size_t stride = static_cast<size_t>(image.width) * 3;
  const size_t offset =
      static_cast<size_t>(frame->y_offset) * stride + static_cast<size_t>(frame->x_offset) * 3;
  config.output.colorspace = MODE_RGB;
  config.output.is_external_memory = 1;
  config.output.u.RGBA.rgba = image.rgb.data() + offset;
  config.output.u.RGBA.stride = static_cast<int>(stride);
  config.output.u.RGBA.size = image.rgb.size() - offset;
  const VP8StatusCode status = WebPDecode(frame->fragment.bytes, frame->fragment.size, &config);
  WebPFreeDecBuffer(&config.output);
  if (status != VP8_STATUS_OK) {
    fail_broken(file, "WebP", reason_of(status));
  }
}

}  // namespace

Decoded decode_webp(const Encoded& file) {
  const WebPData data{file.bytes.data(), file.bytes.size()};
  WebPDemuxState state = WEBP_DEMUX_PARSE_ERROR;
  const Demuxer demuxer(WebPDemuxPartial(&data, &state));
  if (demuxer == nullptr || state != WEBP_DEMUX_DONE) {
    fail_broken(file,
                "WebP",
                state == WEBP_DEMUX_PARSE_ERROR ? "the file structure is broken" : kTruncated);
  }
  Decoded out;
  out.image = new_image(file,
                        WebPDemuxGetI(demuxer.get(), WEBP_FF_CANVAS_WIDTH),
                        WebPDemuxGetI(demuxer.get(), WEBP_FF_CANVAS_HEIGHT));
  const FirstFrame frame(demuxer);
  if (!frame.usable()) {
    fail_broken(file, "WebP", "it has no frame");
  }
  decode_frame(file, frame, out.image);
  const auto exif = find_chunk(demuxer, "EXIF");
  const auto xmp = find_chunk(demuxer, "XMP ");
  out.exif.assign(exif.begin(), exif.end());
  out.xmp.assign(xmp.begin(), xmp.end());
  return out;
}

}  // namespace lorapress::image_formats
