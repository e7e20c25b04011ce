#include "smolvlm_files.h"

#include <fmt/format.h>

#include "base/file.h"
#include "base/json.h"

namespace lorapress {

std::vector<std::string> smolvlm_tokens() {
  std::vector<std::string> tokens;
  constexpr int kMostTiles = 6;  // of a side
  for (int row = 1; row <= kMostTiles; ++row) {
    for (int column = 1; column <= kMostTiles; ++column) {
      tokens.push_back(fmt::format("<row_{}_col_{}>", row, column));
    }
  }
  tokens.insert(tokens.end(),
                {"<|im_start|>",
                 "<end_of_utterance>",
                 "<global-img>",
                 "<fake_token_around_image>",
                 "<image>"});
  return tokens;
}

void write_smolvlm_files(const std::filesystem::path& folder,
                         int64_t image_size,
                         int64_t positions) {
  const Json half = {0.5, 0.5, 0.5};
  const Json preprocessor = {{"image_processor_type", "SmolVLMImageProcessor"},
                             {"do_convert_rgb", true},
                             {"do_image_splitting", true},
                             {"do_normalize", true},
                             {"do_pad", true},
                             {"do_rescale", true},
                             {"do_resize", true},
                             {"image_mean", half},
                             {"image_std", half},
                             {"max_image_size", {{"longest_edge", image_size}}},
                             {"resample", 1},
                             {"rescale_factor", 1.0 / 255.0},
                             {"size", {{"longest_edge", 4 * image_size}}}};
  const Json processor = {{"processor_class", "SmolVLMProcessor"}, {"image_seq_len", positions}};
  write_text(folder / "preprocessor_config.json", preprocessor.dump(2) + "\n");
  write_text(folder / "processor_config.json", processor.dump(2) + "\n");
  write_text(folder / "chat_template.jinja",
             "<|im_start|>{% for message in messages %}{{message['role'] | capitalize}}"
             "{% if message['content'][0]['type'] == 'image' %}{{':'}}{% else %}{{': '}}{% endif %}"
             "{% for line in message['content'] %}{% if line['type'] == 'text' %}{{line['text']}}"
             "{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}"
             "<end_of_utterance>\n{% endfor %}"
             "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}");
}

}  // namespace lorapress
