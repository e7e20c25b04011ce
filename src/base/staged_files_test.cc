#include "base/staged_files.h"

#include <gtest/gtest.h>

#include "test_util.h"

namespace lorapress {
namespace {

using test::contains;
using test::message_of;
using test::TempFolder;

void write_both(const std::filesystem::path& path) {
  write_text(path, "model");
  write_text(path.string() + "_data", "data");
}

TEST(StagedFiles, AppearTogether) {
  const TempFolder folder;
  const int answer = StagedFiles(folder / "a/b/m.onnx", false).fill([&](const auto& path) {
    write_both(path);
    EXPECT_FALSE(std::filesystem::exists(folder / "a/b/m.onnx"));
    return 42;
  });
  EXPECT_EQ(answer, 42);
  EXPECT_EQ(read_text(folder / "a/b/m.onnx"), "model");
  EXPECT_EQ(read_text(folder / "a/b/m.onnx_data"), "data");
  EXPECT_EQ(std::ranges::distance(std::filesystem::directory_iterator(folder / "a/b")), 2);
}

TEST(StagedFiles, LeaveNothingBehind) {
  const TempFolder folder;
  const std::string text = message_of(ErrorCode::kIo, [&] {
    StagedFiles(folder / "a/m.onnx", false).fill([&](const auto& path) -> int {
      write_both(path);
      throw Error(ErrorCode::kIo, path.string() + ": full");
    });
  });
  EXPECT_EQ(text, (folder / "a/m.onnx").string() + ": full");
  EXPECT_TRUE(folder.names().empty());
  {
    const StagedFiles unused(folder / "b/m.onnx", false);
  }
  EXPECT_TRUE(folder.names().empty());
}

TEST(StagedFiles, ReplaceFilesWithForceOnly) {
  const TempFolder folder;
  write_text(folder / "m.onnx_data", "old");
  const auto fill = [&](bool force) {
    StagedFiles staged(folder / "m.onnx", force);
    return staged.fill([&](const auto& path) {
      write_both(path);
      return 0;
    });
  };
  EXPECT_TRUE(contains(message_of(ErrorCode::kExists, [&] { fill(false); }), "m.onnx_data"));
  EXPECT_EQ(folder.names(), (std::vector<std::string>{"m.onnx_data"}));
  fill(true);
  EXPECT_EQ(read_text(folder / "m.onnx_data"), "data");
  EXPECT_TRUE(contains(message_of(ErrorCode::kExists, [&] { fill(false); }), "options.force"));
  std::filesystem::remove(folder / "m.onnx");
  std::filesystem::create_directory(folder / "m.onnx");
  EXPECT_TRUE(contains(message_of(ErrorCode::kExists, [&] { fill(true); }), "no file"));
}

// A folder that came after the start is in the way of the rename: what was moved goes again.
TEST(StagedFiles, TakeBackWhatWasMoved) {
  const TempFolder folder;
  message_of(ErrorCode::kExists, [&] {
    StagedFiles(folder / "m.onnx", true).fill([&](const auto& path) {
      write_both(path);
      std::filesystem::create_directory(folder / "m.onnx");
      return 0;
    });
  });
  EXPECT_EQ(folder.names(), (std::vector<std::string>{"m.onnx"}));
}

}  // namespace
}  // namespace lorapress
