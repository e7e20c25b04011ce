#include "base/staging_folder.h"

#include <atomic>
#include <csignal>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "base/file.h"
#include "test_util.h"

namespace lorapress {
namespace {

using test::contains;
using test::kMarked;
using test::TempFolder;
namespace fs = std::filesystem;
using Names = std::vector<std::string>;

// What a run leaves that is killed: a folder with something in it, and a lock that nobody holds.
void leave(const TempFolder& folder, const std::string& stem, bool lock = true) {
  fs::create_directories(folder / stem / "onnx");
  write_text(folder / stem / "onnx/model.onnx", std::string(1'500'000, 'x'));
  if (lock) {
    write_text(folder / (stem + ".lock"), "");
  }
}

Names notes_of(const fs::path& target) {
  return StagingFolder(target).notes();
}

TEST(StagingFolder, IsBesideTheTargetAndGoesWithItsLock) {
  const TempFolder folder;
  {
    const StagingFolder staging(folder / "out");
    EXPECT_EQ(staging.path().parent_path(), folder.path());
    EXPECT_TRUE(staging.notes().empty());
    const std::string name = staging.path().filename().string();
    EXPECT_EQ(folder.names(), (Names{name, name + ".lock"}));
    write_text(staging.path() / "f", "1");
  }
  EXPECT_EQ(folder.names(), Names{});
}

TEST(StagingFolder, ClearsWhatNoProcessHolds) {
  const TempFolder folder;
  leave(folder, ".out.part-abc123");
  leave(folder, ".out.part-ABCxyz", false);              // of a version without locks
  write_text(folder / ".out.part-aaaaaa.lock", "");      // killed before it made its folder
  fs::create_symlink("/", folder / ".out.part-LLLLLL");  // OUT was a link, and was replaced
  const Names notes = notes_of(folder / "out");
  ASSERT_EQ(notes.size(), 1U);
  EXPECT_EQ(notes[0],
            "removed what killed runs left beside out: .out.part-ABCxyz and 2 more, 3.0 MB");
  EXPECT_EQ(folder.names(), Names{});
  EXPECT_TRUE(fs::exists("/"));
}

TEST(StagingFolder, LeavesWhatIsNotOfThisTarget) {
  const TempFolder folder;
  const Names others{".out.part-abc12",
                     ".out.part-abc1234",
                     ".out.part-abc-23",
                     ".out2.part-abc123",
                     "out.part-abc123",
                     ".out.part-",
                     ".out.part-abc123.part-abc123"};
  for (const std::string& name : others) {
    leave(folder, name, false);
  }
  write_text(folder / ".out.part-FILE12", "a file");
  const Names before = folder.names();
  EXPECT_EQ(notes_of(folder / "out"), Names{});
  EXPECT_EQ(folder.names(), before);
}

TEST(StagingFolder, LeavesWhatIsHeld) {
  const TempFolder folder;
  leave(folder, ".out.part-abc123");
  const int holder = ::open((folder / ".out.part-abc123.lock").c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_EQ(::flock(holder, LOCK_EX | LOCK_NB), 0);
  const Names before = folder.names();
  EXPECT_EQ(notes_of(folder / "out"), Names{});
  EXPECT_EQ(folder.names(), before);
  ::close(holder);
  EXPECT_EQ(notes_of(folder / "out").size(), 1U);
  EXPECT_EQ(folder.names(), Names{});
}

// A process that lives, then one that was killed with SIGKILL.
TEST(StagingFolder, LeavesThatOfALivingProcess) {
  const TempFolder folder;
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const StagingFolder staging(folder / "out");
    static_cast<void>(!::write(ready[1], "x", 1));
    ::pause();
    ::_exit(0);
  }
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  const Names theirs = folder.names();
  ASSERT_EQ(theirs.size(), 2U);
  EXPECT_EQ(notes_of(folder / "out"), Names{});
  EXPECT_EQ(folder.names(), theirs);
  ::kill(child, SIGKILL);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_EQ(folder.names(), theirs);
  const Names notes = notes_of(folder / "out");
  ASSERT_EQ(notes.size(), 1U);
  EXPECT_TRUE(contains(notes[0], theirs[0])) << notes[0];
  EXPECT_EQ(folder.names(), Names{});
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST(StagingFolder, PutsBackTheOutThatWasTakenAway) {
  const TempFolder folder;
  leave(folder, ".out.part-abc123");
  leave(folder, ".out.part-abc123.old", false);
  write_text(folder / ".out.part-abc123.old" / "marker", "the one before");
  Names notes = notes_of(folder / "out");
  ASSERT_EQ(notes.size(), 2U);
  EXPECT_EQ(notes[1], "a run was killed while it replaced out; the one before is back");
  EXPECT_EQ(folder.names(), Names{"out"});
  EXPECT_EQ(read_text(folder / "out/marker"), "the one before");
  leave(folder, ".out.part-abc123.old", false);  // killed after the new one took the name
  notes = notes_of(folder / "out");
  ASSERT_EQ(notes.size(), 1U);
  EXPECT_EQ(folder.names(), Names{"out"});
  EXPECT_EQ(read_text(folder / "out/marker"), "the one before");
}

TEST(StagingFolder, SurvivesManyWritersOfOneTarget) {
  const TempFolder folder;
  fs::create_directory(folder / "out");
  write_text(folder / "out/marker", "{}");
  std::vector<std::thread> writers;
  for (int writer = 0; writer < 4; ++writer) {
    writers.emplace_back([&] {
      for (int run = 0; run < 50; ++run) {
        StagedOutput staged(folder / "out", true, kMarked);
        EXPECT_TRUE(staged.notes().empty()) << staged.notes()[0];  // none of them is dead
        write_text(staged.folder() / "marker", "{}");
        write_text(staged.folder() / "content", "whole");
        staged.commit();
      }
    });
  }
  for (std::thread& writer : writers) {
    writer.join();
  }
  EXPECT_EQ(folder.names(), Names{"out"});
  EXPECT_EQ(read_text(folder / "out/content"), "whole");
}

// OUT is there at any moment, old or new, while it is replaced.
TEST(StagedOutput, ReplacesInOneStep) {
  const TempFolder folder;
  fs::create_directory(folder / "out");
  write_text(folder / "out/marker", "{}");
  std::atomic<bool> done = false;
  std::thread watcher([&] {
    while (!done) {
      EXPECT_TRUE(fs::exists(folder / "out/marker"));
    }
  });
  for (int run = 0; run < 300; ++run) {
    StagedOutput staged(folder / "out", true, kMarked);
    write_text(staged.folder() / "marker", "{}");
    staged.commit();
  }
  done = true;
  watcher.join();
}

}  // namespace
}  // namespace lorapress
