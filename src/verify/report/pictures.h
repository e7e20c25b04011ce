// The images that verify uses: a folder of pictures, or a few built-in ones.
#ifndef LORAPRESS_VERIFY_REPORT_PICTURES_H_
#define LORAPRESS_VERIFY_REPORT_PICTURES_H_

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "runtime/image/image.h"

namespace lorapress {

struct Picture {
  std::string name;             // of a prompt its text
  std::function<Image()> load;  // throws Error for a file that is not an image; none of a prompt
};

// The files of a folder that are named like images, sorted by name. Names of the others,
// at most a few, go into `notes`. Throws kNotFound for no such folder, kInvalidArgument where
// no file in it is named like an image.
std::vector<Picture> pictures_of_folder(const std::filesystem::path& folder,
                                        std::vector<std::string>& notes);

// Six pictures drawn with integers only: equal on every machine, all different, none of a model's size.
std::vector<Picture> drawn_pictures();

// A PNG of at most `side` pixels per side as a data: URI, for a page.
std::string png_data_uri(const Image& image, int64_t side);

}  // namespace lorapress

#endif  // LORAPRESS_VERIFY_REPORT_PICTURES_H_
