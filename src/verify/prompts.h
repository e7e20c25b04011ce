// What verify gives a decoder alone in place of images.
#ifndef LORAPRESS_VERIFY_PROMPTS_H_
#define LORAPRESS_VERIFY_PROMPTS_H_

#include <filesystem>
#include <vector>

#include "verify/report/pictures.h"

namespace lorapress {

// The lines of a text file that are not empty, or where `file` is empty a few sentences; without pictures. Throws
// kNotFound, kInvalidFile for a file without a line.
std::vector<Picture> prompts_of_file(const std::filesystem::path& file);

}  // namespace lorapress

#endif  // LORAPRESS_VERIFY_PROMPTS_H_
