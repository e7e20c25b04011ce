// What SmolVLM's processor is published with.
#ifndef LORAPRESS_BENCH_SMOLVLM_FILES_H_
#define LORAPRESS_BENCH_SMOLVLM_FILES_H_

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace lorapress {

// The special tokens that prompts need, <image> the last.
std::vector<std::string> smolvlm_tokens();

// preprocessor_config.json, processor_config.json and chat_template.jinja; `positions` of the
// decoder for one tile of image_size pixels.
void write_smolvlm_files(const std::filesystem::path& folder,
                         int64_t image_size,
                         int64_t positions);

}  // namespace lorapress

#endif  // LORAPRESS_BENCH_SMOLVLM_FILES_H_
