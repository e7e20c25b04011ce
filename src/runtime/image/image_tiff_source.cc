#include "runtime/image/image_tiff_source.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>

namespace lorapress::image_formats {

struct TiffSource::Callbacks {
  static TiffSource& self(thandle_t handle) { return *static_cast<TiffSource*>(handle); }

  static tmsize_t read(thandle_t handle, void* out, tmsize_t count) {
    TiffSource& source = self(handle);
    const uint64_t size = source.file_.bytes.size();
    const uint64_t at = std::min(source.position_, size);
    const uint64_t given =
        std::min<uint64_t>(static_cast<uint64_t>(std::max<tmsize_t>(count, 0)), size - at);
    std::memcpy(out, source.file_.bytes.data() + at, given);
    source.position_ = at + given;
    return static_cast<tmsize_t>(given);
  }
  static tmsize_t write(thandle_t /*handle*/, void* /*data*/, tmsize_t /*count*/) { return -1; }
  static toff_t seek(thandle_t handle, toff_t offset, int whence) {
    TiffSource& source = self(handle);
    source.position_ = whence == SEEK_SET   ? offset
                       : whence == SEEK_CUR ? source.position_ + offset
                                            : source.file_.bytes.size() + offset;
    return source.position_;
  }
  static int close(thandle_t /*handle*/) { return 0; }
  static toff_t size(thandle_t handle) { return self(handle).file_.bytes.size(); }
  static int map(thandle_t handle, void** base, toff_t* size) {
    const std::span<const uint8_t> bytes = self(handle).file_.bytes;
    *base = const_cast<uint8_t*>(bytes.data());  // a file that is open for reading is not written
    *size = bytes.size();
    return 1;
  }
  static void unmap(thandle_t /*handle*/, void* /*base*/, toff_t /*size*/) {}

  // Both return 1: libtiff's own handlers, which print, are not called then.
  static int on_error(
      TIFF* /*tiff*/, void* user, const char* /*module*/, const char* format, va_list arguments) {
    TiffSource& source = self(user);
    if (source.reason_[0] == '\0') {
      std::vsnprintf(source.reason_.data(), source.reason_.size(), format, arguments);
    }
    return 1;
  }
  static int on_warning(
      TIFF* tiff, void* user, const char* module, const char* format, va_list arguments) {
    const bool ends = std::string_view(format).find("IO error") != std::string_view::npos;
    return ends ? on_error(tiff, user, module, format, arguments) : 1;
  }
};

TiffHandle TiffSource::open() {
  const std::unique_ptr<TIFFOpenOptions, decltype(&TIFFOpenOptionsFree)> options(
      TIFFOpenOptionsAlloc(), TIFFOpenOptionsFree);
  if (options == nullptr) {
    return nullptr;
  }
  TIFFOpenOptionsSetMaxSingleMemAlloc(options.get(), static_cast<tmsize_t>(kMaxTiffBlock));
  TIFFOpenOptionsSetErrorHandlerExtR(options.get(), Callbacks::on_error, this);
  TIFFOpenOptionsSetWarningHandlerExtR(options.get(), Callbacks::on_warning, this);
  return TiffHandle(TIFFClientOpenExt("image",
                                      "r",
                                      this,
                                      Callbacks::read,
                                      Callbacks::write,
                                      Callbacks::seek,
                                      Callbacks::close,
                                      Callbacks::size,
                                      Callbacks::map,
                                      Callbacks::unmap,
                                      options.get()));
}

std::optional<uint64_t> stored_photometric(std::span<const uint8_t> file) {
  const bool big_endian = !file.empty() && file[0] == 'M';
  const auto number = [&](uint64_t at, size_t bytes) -> std::optional<uint64_t> {
    if (at > file.size() || bytes > file.size() - at) {
      return std::nullopt;
    }
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; ++i) {
      value = value << 8 | file[at + (big_endian ? i : bytes - 1 - i)];
    }
    return value;
  };
  // A directory: its count, then entries of tag, type, count and value.
  const bool wide = number(2, 2) == 43;
  const size_t count_bytes = wide ? 8 : 2;
  const size_t entry_bytes = wide ? 20 : 12;
  const std::optional<uint64_t> directory = wide ? number(8, 8) : number(4, 4);
  const std::optional<uint64_t> count = number(directory.value_or(file.size()), count_bytes);
  for (uint64_t i = 0; i < std::min<uint64_t>(count.value_or(0), 4096); ++i) {
    const uint64_t entry = *directory + count_bytes + i * entry_bytes;
    if (number(entry, 2) == TIFFTAG_PHOTOMETRIC) {
      return number(entry + (wide ? 12 : 8), 2);
    }
  }
  return std::nullopt;
}

std::string_view TiffSource::reason() const {
  return failed() ? reason_.data() : "its data are broken";
}

}  // namespace lorapress::image_formats
