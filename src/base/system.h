// What Linux, macOS and Windows each do in their own way: system_posix.cc with system_linux.cc or system_macos.cc, or
// system_windows.cc. Files are numbers, on Windows those of its C library. A call that fails sets errno, on Windows, too.
#ifndef LORAPRESS_BASE_SYSTEM_H_
#define LORAPRESS_BASE_SYSTEM_H_

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <utility>

namespace lorapress::sys {

enum class OpenAs {
  kInput,  // an existing file, to read; a pipe does not block, a folder opens and is told by facts_of()
  kNew,       // a file that did not exist, to read and write
  kExisting,  // an existing file, to read and write; a link at the end of the path is not followed
  kEither,    // an existing or a new file, to read and write
  kLog,       // an existing file, pipe or device, to read and append to
  kNewLog,    // a file that did not exist, to read and append to
};
// Returns the file's number, or -1. Children do not inherit it. Others may read, rename and remove the file meanwhile.
int open_file(const std::filesystem::path& path, OpenAs as);
// A new file in `folder` that has no name, or none that outlives this process. Returns its number, or -1.
int open_unnamed(const std::filesystem::path& folder);
// False where the system reports a write error only now.
bool close_file(int file);

// At a position of their own, so from any thread. They return how many bytes were moved, which may be fewer than asked; 0 at
// the end of the file; -1 for an error, EINTR included.
int64_t read_at(int file, std::span<std::byte> out, uint64_t offset);
int64_t write_at(int file, std::span<const std::byte> bytes, uint64_t offset);
// To the end of a file that is open as a log, wherever other writers have moved it.
int64_t append(int file, std::span<const std::byte> bytes);

struct FileFacts {
  bool is_regular = false;
  uint64_t size = 0;
  bool has_name = false;  // not removed meanwhile
};
std::optional<FileFacts> facts_of(int file);
bool resize_file(int file, uint64_t size);
// Sets a new file's size and allocates its blocks where the file system can, so that a full disk is detected before the work
// and every write is a fifth cheaper (ext4: one allocation instead of one per folio). Returns errno, or 0.
int reserve(int file, uint64_t size);
// Moves bytes between files without a buffer. Returns how many; -1 or 0 where that is not possible.
int64_t copy_inside(int from, uint64_t from_offset, int to, uint64_t to_offset, uint64_t count);
// No space, no quota, or a limit of file sizes.
bool is_disk_full(int error);

// Takes the lock of an open file, which ends when the file is closed or the process ends, however that happens. False with
// EWOULDBLOCK where another process, or another open file of this one, holds it; another errno where locks do not work.
bool try_lock(int file);
// The same, but waits. On Windows it is the lock of Python's filelock and the file cannot be read by others meanwhile.
bool wait_lock(int file);
// Whether other machines may hold the file open: a network file system, or an unknown one.
bool is_shared(int file);
// The host's name; empty where it has none.
std::string machine_name();
int process_id();
// HOME, on Windows USERPROFILE; empty where it is not set.
std::filesystem::path home_folder();

// Creates one folder, which everybody may read; false where the name is taken.
bool make_folder(const std::filesystem::path& path);
// A new empty folder for temporary files that nobody else reads; empty where it cannot be made.
std::filesystem::path make_private_folder();
// Both names stay, and each has what the other had, in one step. False where the file system cannot.
bool exchange_names(const std::filesystem::path& one, const std::filesystem::path& other);
// A file, folder or device under all its names: the same numbers, once all links are resolved. None: no such file.
std::optional<std::pair<uint64_t, uint64_t>> identity_of(const std::filesystem::path& path);

// The program that runs; empty where the system does not say.
std::filesystem::path program_path();
// Opens a shared library by name or path; nullptr with one line in `why`.
void* open_library(const std::string& name, std::string& why);
void* library_symbol(void* library, const char* name);
// The largest resident memory of this process so far, in bytes; 0 where unknown.
uint64_t peak_memory();
// As in "AMD EPYC 9B14"; empty where unknown.
std::string processor_name();

// A file's number, closed by the destructor.
class Descriptor {
 public:
  explicit Descriptor(int number = -1) : number_(number) {}
  ~Descriptor() {
    if (number_ >= 0) {
      close_file(number_);
    }
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  Descriptor(Descriptor&& other) noexcept : number_(other.release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  [[nodiscard]] bool valid() const { return number_ >= 0; }
  [[nodiscard]] int get() const { return number_; }
  int release() { return std::exchange(number_, -1); }

 private:
  int number_;
};

}  // namespace lorapress::sys

#endif  // LORAPRESS_BASE_SYSTEM_H_
