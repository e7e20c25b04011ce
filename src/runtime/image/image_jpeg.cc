// JPEG through libjpeg-turbo. libjpeg reports errors with longjmp, so every call into it happens
// inside guarded(), whose frames own nothing; all state lives in JpegReader.
#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstddef>
#include <cstdio>  // jpeglib.h needs FILE and size_t
#include <jpeglib.h>

#include "runtime/image/image_formats.h"

namespace lorapress::image_formats {
namespace {

// A progressive file may repeat scans without end, each a pass over all blocks; real ones have ten.
constexpr int kMaxScans = 500;

class JpegReader {
 public:
  explicit JpegReader(const Encoded& file) : file_(file) {}
  ~JpegReader() { jpeg_destroy_decompress(&info_); }
  JpegReader(const JpegReader&) = delete;
  JpegReader& operator=(const JpegReader&) = delete;

  Decoded decode() {
    read_header();
    Decoded out;
    collect_metadata(out);
    out.image = new_image(file_, info_.image_width, info_.image_height);
    if (info_.num_components == 4) {
      read_cmyk(out.image);
    } else if (info_.num_components == 1 || info_.num_components == 3) {
      read_rgb(out.image);
    } else {
      broken("it has neither 1, 3 nor 4 components");
    }
    return out;
  }

 private:
  // False when libjpeg gave up; `reason_` then holds its words. No object with a destructor may be
  // created inside `step`.
  template <typename Step>
  [[nodiscard]] bool guarded(const Step& step) {
    if (setjmp(jump_) != 0) {
      return false;
    }
    step();
    return true;
  }

  [[noreturn]] void broken(std::string_view reason) const { fail_broken(file_, "JPEG", reason); }

  template <typename Step>
  void run(const Step& step) {
    if (!guarded(step)) {
      broken(reason_.data());
    }
  }

  static JpegReader& self(j_common_ptr info) {
    return *static_cast<JpegReader*>(info->client_data);
  }

  [[noreturn]] static void on_error(j_common_ptr info) {
    info->err->format_message(info, self(info).reason_.data());
    std::longjmp(self(info).jump_, 1);
  }

  static void on_progress(j_common_ptr info) {
    if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number > kMaxScans) {
      std::snprintf(self(info).reason_.data(), JMSG_LENGTH_MAX, "more than %d scans", kMaxScans);
      std::longjmp(self(info).jump_, 1);
    }
  }

  // The whole file is in memory. At its end libjpeg is told to suspend, as Pillow does; its own
  // memory source would invent an end marker and return a gray rest.
  static boolean on_file_end(j_decompress_ptr /*info*/) { return FALSE; }

  static void skip(j_decompress_ptr info, long count) {
    const size_t step =
        std::min(static_cast<size_t>(std::max(count, 0L)), info->src->bytes_in_buffer);
    info->src->next_input_byte += step;
    info->src->bytes_in_buffer -= step;
  }

  void open() {
    info_.err = jpeg_std_error(&errors_);
    errors_.error_exit = on_error;
    // Warnings, as about bytes between markers, are ignored: Pillow does the same.
    errors_.output_message = [](j_common_ptr) {};
    info_.client_data = this;
    jpeg_create_decompress(&info_);
    progress_.progress_monitor = on_progress;
    info_.progress = &progress_;
    source_.init_source = [](j_decompress_ptr) {};
    source_.fill_input_buffer = on_file_end;
    source_.skip_input_data = skip;
    source_.resync_to_restart = jpeg_resync_to_restart;
    source_.term_source = [](j_decompress_ptr) {};
    source_.next_input_byte = file_.bytes.data();
    source_.bytes_in_buffer = file_.bytes.size();
    info_.src = &source_;
    jpeg_save_markers(&info_, JPEG_APP0 + 1, 0xFFFF);  // EXIF and XMP
  }

  void read_header() {
    run([this] {
      open();
      complete_ = jpeg_read_header(&info_, TRUE) == JPEG_HEADER_OK;
    });
    check_complete();
  }

  void collect_metadata(Decoded& out) const {
    constexpr std::string_view kExif("Exif\0\0", 6);
    constexpr std::string_view kXmp("http://ns.adobe.com/xap/1.0/\0", 29);
    for (jpeg_saved_marker_ptr marker = info_.marker_list; marker != nullptr;
         marker = marker->next) {
      const std::string_view data(reinterpret_cast<const char*>(marker->data), marker->data_length);
      if (data.starts_with(kExif)) {  // may be split over several markers
        out.exif.insert(out.exif.end(), data.begin() + kExif.size(), data.end());
      } else if (data.starts_with(kXmp)) {
        out.xmp = data.substr(kXmp.size());
      }
    }
  }

  void check_complete() const {
    if (!complete_) {
      broken(kTruncated);
    }
  }

  void start(J_COLOR_SPACE space) {
    run([this, space] {
      info_.out_color_space = space;
      complete_ = jpeg_start_decompress(&info_) == TRUE;
    });
    check_complete();
  }

  void read_row(uint8_t* row) {
    run([this, row] {
      JSAMPROW line = row;
      complete_ = jpeg_read_scanlines(&info_, &line, 1) == 1;
    });
    check_complete();
  }

  // As in Pillow, errors behind the last row count, but a missing end marker does not.
  void finish() {
    run([this] { jpeg_finish_decompress(&info_); });
  }

  void read_rgb(Image& image) {
    start(JCS_RGB);
    const auto stride = static_cast<size_t>(image.width) * 3;
    for (int64_t y = 0; y < image.height; ++y) {
      read_row(image.rgb.data() + static_cast<size_t>(y) * stride);
    }
    finish();
  }

  // Pillow takes every CMYK file for an inverted one, as Adobe writes them, so that the samples say
  // how much light each ink lets through. No profile: colour times black, rounded its way.
  void read_cmyk(Image& image) {
    start(JCS_CMYK);
    std::vector<uint8_t> row(static_cast<size_t>(image.width) * 4);
    uint8_t* out = image.rgb.data();
    for (int64_t y = 0; y < image.height; ++y) {
      read_row(row.data());
      for (size_t at = 0; at < row.size(); at += 4) {
        const int light = row[at + 3];
        for (size_t channel = 0; channel < 3; ++channel) {
          const int product = (255 - row[at + channel]) * light + 128;
          *out++ = static_cast<uint8_t>(std::max(0, light - ((product / 256 + product) / 256)));
        }
      }
    }
    finish();
  }

  const Encoded& file_;
  jpeg_decompress_struct info_{};
  jpeg_error_mgr errors_{};
  jpeg_source_mgr source_{};
  jpeg_progress_mgr progress_{};
  std::jmp_buf jump_{};
  std::array<char, JMSG_LENGTH_MAX> reason_{};
  bool complete_ = false;
};

}  // namespace

Decoded decode_jpeg(const Encoded& file) {
  return JpegReader(file).decode();
}

}  // namespace lorapress::image_formats
