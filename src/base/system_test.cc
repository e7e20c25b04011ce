#include "base/system.h"

#include <cerrno>
#include <gtest/gtest.h>

#include "base/file.h"
#include "test_util.h"

namespace lorapress::sys {
namespace {

using test::TempFolder;
namespace fs = std::filesystem;

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

std::string read(const Descriptor& file, uint64_t offset, size_t count) {
  std::string text(count, '\0');
  const int64_t got = read_at(file.get(), std::as_writable_bytes(std::span(text)), offset);
  text.resize(got < 0 ? 0 : static_cast<size_t>(got));
  return text;
}

TEST(SystemFiles, OpenAsTheySay) {
  const TempFolder folder;
  const fs::path name = folder / "a";
  EXPECT_EQ(open_file(name, OpenAs::kInput), -1);
  EXPECT_EQ(errno, ENOENT);
  EXPECT_EQ(open_file(name, OpenAs::kLog), -1);
  EXPECT_EQ(errno, ENOENT);
  EXPECT_TRUE(Descriptor(open_file(name, OpenAs::kNew)).valid());
  EXPECT_EQ(open_file(name, OpenAs::kNew), -1);
  EXPECT_EQ(errno, EEXIST);
  EXPECT_EQ(open_file(name, OpenAs::kNewLog), -1);
  EXPECT_EQ(errno, EEXIST);
  EXPECT_TRUE(Descriptor(open_file(name, OpenAs::kExisting)).valid());
  EXPECT_TRUE(Descriptor(open_file(folder / "b", OpenAs::kEither)).valid());
  EXPECT_TRUE(fs::exists(folder / "b"));
}

TEST(SystemFiles, KeepPositionsApart) {
  const TempFolder folder;
  const Descriptor file(open_file(folder / "a", OpenAs::kNew));
  EXPECT_EQ(reserve(file.get(), 10), 0);
  EXPECT_EQ(facts_of(file.get())->size, 10U);
  EXPECT_EQ(write_at(file.get(), bytes_of("xyz"), 4), 3);
  EXPECT_EQ(write_at(file.get(), bytes_of("ab"), 0), 2);
  EXPECT_EQ(read(file, 3, 5), std::string("\0xyz\0", 5));
  EXPECT_EQ(read(file, 8, 5).size(), 2U);
  EXPECT_EQ(read(file, 10, 5), "");
  EXPECT_TRUE(resize_file(file.get(), 5));
  EXPECT_EQ(read(file, 4, 5), "x");
}

TEST(SystemFiles, ALogGrowsAtItsEnd) {
  const TempFolder folder;
  const Descriptor one(open_file(folder / "a", OpenAs::kNewLog));
  const Descriptor other(open_file(folder / "a", OpenAs::kLog));
  EXPECT_EQ(append(one.get(), bytes_of("1\n")), 2);
  EXPECT_EQ(append(other.get(), bytes_of("22\n")), 3);
  EXPECT_EQ(append(one.get(), bytes_of("3\n")), 2);
  EXPECT_EQ(read(other, 0, 20), "1\n22\n3\n");
}

TEST(SystemFiles, WithoutANameLeaveNothing) {
  const TempFolder folder;
  {
    const Descriptor file(open_unnamed(folder.path()));
    EXPECT_EQ(write_at(file.get(), bytes_of("abc"), 1000), 3);
    EXPECT_EQ(read(file, 1001, 5), "bc");
  }
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

TEST(SystemFiles, TellWhatTheyAre) {
  const TempFolder folder;
  const Descriptor above(open_file(folder.path(), OpenAs::kInput));
  ASSERT_TRUE(above.valid());
  EXPECT_FALSE(facts_of(above.get())->is_regular);
  const Descriptor file(open_file(folder / "a", OpenAs::kNew));
  EXPECT_TRUE(facts_of(file.get())->is_regular);
  EXPECT_TRUE(facts_of(file.get())->has_name);
  fs::remove(folder / "a");
  EXPECT_FALSE(facts_of(file.get())->has_name);
}

TEST(SystemFiles, HaveOneIdentityUnderTwoNames) {
  const TempFolder folder;
  write_text(folder / "a", "x");
  write_text(folder / "b", "x");
  fs::create_hard_link(folder / "a", folder / "c");
  EXPECT_EQ(identity_of(folder / "a"), identity_of(folder / "c"));
  EXPECT_NE(identity_of(folder / "a"), identity_of(folder / "b"));
  EXPECT_EQ(identity_of(folder / "none"), std::nullopt);
}

TEST(SystemLocks, HoldUntilTheFileIsClosed) {
  const TempFolder folder;
  Descriptor holder(open_file(folder / "a", OpenAs::kEither));
  const Descriptor other(open_file(folder / "a", OpenAs::kEither));
  EXPECT_TRUE(try_lock(holder.get()));
  EXPECT_FALSE(try_lock(other.get()));
  EXPECT_EQ(errno, EWOULDBLOCK);
  EXPECT_EQ(write_at(other.get(), bytes_of("x"), 0), 1);  // data are not what is locked
  holder = Descriptor();
  EXPECT_TRUE(try_lock(other.get()));
}

TEST(SystemFolders, ExchangeTheirNames) {
  const TempFolder folder;
  ASSERT_TRUE(make_folder(folder / "a"));
  EXPECT_FALSE(make_folder(folder / "a"));
  EXPECT_EQ(errno, EEXIST);
  ASSERT_TRUE(make_folder(folder / "b"));
  write_text(folder / "a/x", "");
  const bool exchanged = exchange_names(folder / "a", folder / "b");
  if (!exchanged) {  // a file system that cannot changes nothing
    EXPECT_TRUE(errno == ENOTSUP || errno == EINVAL || errno == ENOSYS) << errno;
  }
  EXPECT_TRUE(fs::is_empty(folder / (exchanged ? "a" : "b")));
  EXPECT_TRUE(fs::exists(folder / (exchanged ? "b/x" : "a/x")));
}

TEST(SystemFolders, APrivateOneIsNewEachTime) {
  const fs::path one = make_private_folder();
  const fs::path other = make_private_folder();
  EXPECT_TRUE(fs::is_empty(one));
  EXPECT_TRUE(fs::is_empty(other));
  EXPECT_NE(one, other);
#if !defined(_WIN32)
  EXPECT_EQ(fs::status(one).permissions(), fs::perms::owner_all);
#endif
  fs::remove(one);
  fs::remove(other);
}

TEST(SystemProcess, KnowsItself) {
  EXPECT_TRUE(fs::is_regular_file(program_path())) << program_path();
  EXPECT_TRUE(program_path().is_absolute());
  EXPECT_GT(peak_memory(), 1U << 20);
}

TEST(SystemLibraries, SayWhyTheyDoNotOpen) {
  std::string why;
  EXPECT_EQ(open_library("liblorapress-none.so.7", why), nullptr);
  EXPECT_NE(why.find("liblorapress-none.so.7"), std::string::npos) << why;
  EXPECT_EQ(why.find('\n'), std::string::npos) << why;
}

}  // namespace
}  // namespace lorapress::sys
