#include "verify/prompts.h"

#include <array>
#include <sstream>

#include "base/fail.h"
#include "base/file.h"

namespace lorapress {
namespace {

constexpr std::array kPrompts = {
    "The capital of France is",
    "Once upon a time, in a small village by the sea,",
    "def fibonacci(n):",
    "Water boils at 100 degrees because",
    "Q: What is 17 plus 25?\nA:",
    "A photo of a dog that",
};

}  // namespace

std::vector<Picture> prompts_of_file(const std::filesystem::path& file) {
  std::vector<Picture> prompts;
  if (file.empty()) {
    for (const char* prompt : kPrompts) {
      prompts.push_back({prompt, {}});
    }
    return prompts;
  }
  std::istringstream text(read_text(file));
  for (std::string line; std::getline(text, line);) {
    if (!line.empty() && line.back() == '\r') {
      line.pop_back();
    }
    if (!line.empty()) {
      prompts.push_back({line, {}});
    }
  }
  if (prompts.empty()) {
    fail(ErrorCode::kInvalidFile, "{}: no line with a prompt", file.string());
  }
  return prompts;
}

}  // namespace lorapress
