#include "base/file.h"

#include <csignal>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "test_util.h"

namespace lorapress {
namespace {

using test::contains;
using test::kMarked;
using test::message_of;
using test::TempFolder;
namespace fs = std::filesystem;

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

std::string read_part(const InputFile& file, uint64_t offset, size_t count) {
  std::string text(count, '\0');
  file.read_at(offset, std::as_writable_bytes(std::span(text)));
  return text;
}

TEST(InputFile, ReadsAnywhere) {
  const TempFolder folder;
  write_text(folder / "a", "0123456789");
  const InputFile file(folder / "a");
  EXPECT_EQ(file.size(), 10U);
  EXPECT_EQ(read_part(file, 0, 10), "0123456789");
  EXPECT_EQ(read_part(file, 7, 3), "789");
  EXPECT_EQ(read_part(file, 10, 0), "");
  const std::string text = message_of(ErrorCode::kInvalidFile, [&] { read_part(file, 7, 4); });
  EXPECT_TRUE(contains(text, "ends at byte 10")) << text;
  message_of(ErrorCode::kInvalidFile, [&] { read_part(file, 11, 1); });
}

TEST(InputFile, RefusesWhatIsNoFile) {
  const TempFolder folder;
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  message_of(ErrorCode::kInvalidFile, [&] { InputFile file(folder / "pipe"); });  // does not hang
  message_of(ErrorCode::kInvalidFile, [&] { InputFile file(folder.path()); });
  message_of(ErrorCode::kInvalidFile, [&] { InputFile file("/dev/null"); });
  message_of(ErrorCode::kNotFound, [&] { InputFile file(folder / "none"); });
  write_text(folder / "a", "");
  message_of(ErrorCode::kIo, [&] { InputFile file(folder.path() / "a" / "b"); });
}

TEST(OutputFile, WritesAnywhere) {
  const TempFolder folder;
  OutputFile file(folder / "a", 6);
  file.write_at(4, bytes_of("ef"));
  file.write_at(0, bytes_of("ab"));
  file.close();
  EXPECT_EQ(read_text(folder / "a"), std::string("ab\0\0ef", 6));
  message_of(ErrorCode::kExists, [&] { OutputFile again(folder / "a", 0); });
  EXPECT_EQ(read_text(folder / "a").size(), 6U);
  message_of(ErrorCode::kIo, [&] { OutputFile lost(folder.path() / "none" / "a", 0); });
}

TEST(OutputFile, CopiesRanges) {
  const TempFolder folder;
  test::Random random(1);
  const std::vector<std::byte> content = random.bytes((3U << 20) + 17);
  OutputFile whole(folder / "in", 0);
  whole.write_at(0, content);
  whole.close();
  const InputFile source(folder / "in");
  struct Range {
    uint64_t from, to, count;
  };
  const std::vector<Range> ranges{{0, 0, content.size()}, {5, 3, (2U << 20) + 1}, {7, 0, 0}};
  for (size_t i = 0; i < ranges.size(); ++i) {
    const auto& [from, to, count] = ranges[i];
    const fs::path path = folder / std::to_string(i);
    OutputFile file(path, to + count);
    file.copy_from(source, from, to, count);
    file.close();
    const InputFile copy(path);
    ASSERT_EQ(copy.size(), to + count);
    std::vector<std::byte> back(count);
    copy.read_at(to, back);
    EXPECT_TRUE(std::equal(back.begin(), back.end(), content.begin() + static_cast<long>(from)));
  }
  OutputFile beyond(folder / "beyond", 10);
  const uint64_t size = content.size();
  message_of(ErrorCode::kInvalidFile, [&] { beyond.copy_from(source, size - 5, 0, 10); });
}

// What a full disk looks like from here: the system refuses to make the file larger.
TEST(OutputFile, ReportsARefusedWrite) {
  const TempFolder folder;
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{4096, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string large(8192, 'x');
  message_of(ErrorCode::kIo, [&] { OutputFile file(folder / "sized", 8192); });
  message_of(ErrorCode::kIo, [&] {
    OutputFile file(folder / "grown", 0);
    file.write_at(0, bytes_of(large));
  });
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, old_handler);
}

TEST(WholeFiles, AreReadUpToALimitAndCopied) {
  const TempFolder folder;
  write_text(folder / "a", "hello");
  EXPECT_EQ(read_text(folder / "a", 5), "hello");
  message_of(ErrorCode::kInvalidFile, [&] { read_text(folder / "a", 4); });
  lorapress::copy_file(folder / "a", folder / "b");
  EXPECT_EQ(read_text(folder / "b"), "hello");
  message_of(ErrorCode::kExists, [&] { lorapress::copy_file(folder / "a", folder / "b"); });
  message_of(ErrorCode::kExists, [&] { write_text(folder / "a", "x"); });
}

using Names = std::vector<std::string>;

TEST(StagedOutput, AppearsAtCommit) {
  const TempFolder folder;
  {
    StagedOutput staged(folder / "out", false, kMarked);
    write_text(staged.folder() / "f", "1");
    EXPECT_FALSE(fs::exists(folder / "out"));
    EXPECT_EQ(staged.folder().parent_path(), folder.path());  // one rename, one file system
    staged.commit();
  }
  EXPECT_EQ(folder.names(), Names{"out"});
  EXPECT_EQ(read_text(folder.path() / "out" / "f"), "1");
  EXPECT_EQ(fs::status(folder / "out").permissions(), static_cast<fs::perms>(0755));
}

TEST(StagedOutput, LeavesNothingWithoutCommit) {
  const TempFolder folder;
  {
    StagedOutput staged(folder / "new/parent/out", false, kMarked);
    fs::create_directories(staged.folder() / "deep" / "er");
    write_text(staged.folder() / "deep" / "er" / "f", "1");
  }
  EXPECT_EQ(folder.names(), Names{});
}

TEST(StagedOutput, MakesParentsAndTakesATrailingSlash) {
  const TempFolder folder;
  {
    StagedOutput staged(folder / "a/b/out/", false, kMarked);
    staged.commit();
  }
  EXPECT_TRUE(fs::is_directory(folder / "a/b/out"));
  write_text(folder / "file", "x");
  message_of(ErrorCode::kIo, [&] { StagedOutput staged(folder / "file/out", false, kMarked); });
}

TEST(StagedOutput, KeepsWhatExists) {
  const TempFolder folder;
  fs::create_directory(folder / "out");
  message_of(ErrorCode::kExists, [&] { StagedOutput staged(folder / "out", false, kMarked); });
  message_of(ErrorCode::kExists, [&] { StagedOutput staged(folder / "out/", false, kMarked); });
  write_text(folder.path() / "out" / "thesis.txt", "x");
  const std::string text =
      message_of(ErrorCode::kExists, [&] { StagedOutput staged(folder / "out", true, kMarked); });
  EXPECT_TRUE(contains(text, "marker")) << text;
  EXPECT_EQ(folder.names(), Names{"out"});
  EXPECT_EQ(read_text(folder.path() / "out" / "thesis.txt"), "x");
}

TEST(StagedOutput, ReplacesWhatItMayWithForce) {
  for (const std::string marker : {"", "marker"}) {
    const TempFolder folder;
    fs::create_directory(folder / "out");
    if (!marker.empty()) {
      write_text(folder.path() / "out" / marker, "");
      write_text(folder.path() / "out" / "stale", "old");
    }
    {
      StagedOutput staged(folder / "out", true, kMarked);
      write_text(staged.folder() / "f", "new");
      EXPECT_FALSE(fs::exists(folder.path() / "out" / "f"));
      EXPECT_EQ(fs::exists(folder.path() / "out" / "stale"), !marker.empty());  // until commit
      staged.commit();
    }
    EXPECT_EQ(folder.names(), Names{"out"});
    EXPECT_EQ(read_text(folder.path() / "out" / "f"), "new");
    EXPECT_FALSE(fs::exists(folder.path() / "out" / "stale"));
  }
}

TEST(StagedOutput, KeepsModelsAndFilesEvenWithForce) {
  const TempFolder folder;
  fs::create_directory(folder / "model");
  write_text(folder.path() / "model" / "config.json", R"({"model_type": "llama"})");
  write_text(folder / "file", "x");
  for (const std::string name : {"model", "file"}) {
    message_of(ErrorCode::kExists, [&] { StagedOutput staged(folder / name, true, kMarked); });
  }
  EXPECT_EQ(folder.names(), (Names{"file", "model"}));
  message_of(ErrorCode::kInvalidArgument, [&] { StagedOutput staged("", true, kMarked); });
  message_of(ErrorCode::kInvalidArgument, [&] { StagedOutput staged("/", true, kMarked); });
}

TEST(StagedOutput, ReplacesASymlinkAndNotItsTarget) {
  const TempFolder folder;
  fs::create_directory(folder / "real");
  write_text(folder.path() / "real" / "marker", "old");
  fs::create_symlink(folder / "real", folder / "out");
  {
    StagedOutput staged(folder / "out", true, kMarked);
    staged.commit();
  }
  EXPECT_FALSE(fs::is_symlink(folder / "out"));
  EXPECT_EQ(read_text(folder.path() / "real" / "marker"), "old");
  fs::create_symlink(folder / "nowhere", folder / "dangling");
  message_of(ErrorCode::kExists, [&] { StagedOutput staged(folder / "dangling", false, kMarked); });
}

// Two runs with one OUT: the slower one must not remove what the faster one wrote.
TEST(StagedOutput, KeepsWhatAppearedMeanwhile) {
  const TempFolder folder;
  {
    StagedOutput staged(folder / "out", false, kMarked);
    fs::create_directory(folder / "out");
    write_text(folder.path() / "out" / "f", "theirs");
    message_of(ErrorCode::kExists, [&] { staged.commit(); });
  }
  EXPECT_EQ(folder.names(), Names{"out"});
  EXPECT_EQ(read_text(folder.path() / "out" / "f"), "theirs");
}

}  // namespace
}  // namespace lorapress
