// A checkpoint becomes a folder for browsers, and that folder captions images:
//
//   caption_folder CHECKPOINT OUT IMAGES [DTYPE]
//
// writes OUT (which must not exist) in DTYPE, fp32 unless given, and prints a line for each image below IMAGES.
#include <cinttypes>
#include <cstdio>
#include <filesystem>
#include <string>

#include "lorapress/caption_files.h"
#include "lorapress/lorapress.h"

namespace {

void press_folder(const std::filesystem::path& checkpoint,
                  const std::filesystem::path& out,
                  const std::string& dtype) {
  lorapress::PressOptions options;
  options.source.checkpoint = checkpoint;
  options.out = out;
  options.dtypes = {dtype};
  const lorapress::PressReport report = lorapress::export_bundle(options);
  for (const lorapress::OutputFileInfo& file : report.files) {
    std::fprintf(stderr, "%10" PRIu64 " bytes  %s\n", file.bytes, file.path.c_str());
  }
}

// Images are decoded together, and one that cannot be read is a line of its own.
bool caption_images(const std::filesystem::path& folder, const std::filesystem::path& images) {
  bool good = true;
  const lorapress::Captioner captioner(folder);
  lorapress::caption_files(
      captioner, lorapress::find_images(images), {}, 4, [&](const lorapress::FileCaption& file) {
        const std::string name = file.image.filename().string();
        const std::string text = file.error ? file.error->what() : file.caption.text;
        std::printf("%s: %s\n", name.c_str(), text.c_str());
        good = good && !file.error;
      });
  return good;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4 || argc > 5) {
    std::fprintf(stderr, "usage: caption_folder CHECKPOINT OUT IMAGES [DTYPE]\n");
    return 2;
  }
  try {
    press_folder(argv[1], argv[2], argc > 4 ? argv[4] : "fp32");
    return caption_images(argv[2], argv[3]) ? 0 : 1;
  } catch (const lorapress::Error& error) {
    // One line: what, where, expected against found, what to do.
    std::fprintf(stderr, "caption_folder: %s\n", error.what());
    return 2;
  }
}
