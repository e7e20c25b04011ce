#include "api/folder_files.h"

#include <gtest/gtest.h>

#include "test_util.h"

namespace lorapress {
namespace {

namespace fs = std::filesystem;
using test::TempFolder;

TEST(OwnFolders, AreThoseOfPressAndMerge) {
  const std::vector<std::tuple<std::string, std::string, bool>> cases{
      {"lorapress.json", "{}", true},
      {"config.json", R"({"a": 1, "merged_by": "lorapress 0.1.0"})", true},
      {"config.json", R"({"model_type": "llama"})", false},
      {"config.json", R"({"merged_by": "hand"})", false},
      {"thesis.txt", "x", false}};
  for (const auto& [name, content, own] : cases) {
    const TempFolder folder;
    write_text(folder / name, content);
    EXPECT_EQ(kOwnFolders.test(folder.path()), own) << name << " " << content;
  }
}

}  // namespace
}  // namespace lorapress
