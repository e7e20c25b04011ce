// What Windows has of base/system.h. Names go through std::filesystem::path, so they are whole; text for messages is in the
// process's code page, which the program sets to UTF-8 (cmake/lorapress.manifest).
#include <array>
#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <io.h>
#include <random>
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>
// needs windows.h
#include <psapi.h>
#include <winioctl.h>

#include "base/system.h"

namespace lorapress::sys {
namespace {

namespace fs = std::filesystem;

constexpr DWORD kShareAll = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
constexpr DWORD kMostBytes = 1U << 30;  // of one call, whose counts have 32 bits
// A byte that no data reaches: locks of Windows keep others from reading what they cover.
constexpr uint64_t kLockPlace = uint64_t{1} << 62;

int errno_of(DWORD error) {
  switch (error) {
    case ERROR_FILE_NOT_FOUND:
    case ERROR_PATH_NOT_FOUND:
    case ERROR_INVALID_NAME:
    case ERROR_BAD_NETPATH:
    case ERROR_BAD_NET_NAME:
      return ENOENT;
    case ERROR_ACCESS_DENIED:
    case ERROR_SHARING_VIOLATION:
    case ERROR_WRITE_PROTECT:
      return EACCES;
    case ERROR_FILE_EXISTS:
    case ERROR_ALREADY_EXISTS:
      return EEXIST;
    case ERROR_DISK_FULL:
    case ERROR_HANDLE_DISK_FULL:
    case ERROR_DISK_QUOTA_EXCEEDED:
      return ENOSPC;
    case ERROR_FILE_TOO_LARGE:
      return EFBIG;
    case ERROR_LOCK_VIOLATION:
    case ERROR_IO_PENDING:
      return EWOULDBLOCK;
    case ERROR_TOO_MANY_OPEN_FILES:
      return EMFILE;
    case ERROR_NOT_ENOUGH_MEMORY:
    case ERROR_OUTOFMEMORY:
      return ENOMEM;
    case ERROR_DIRECTORY:
      return ENOTDIR;
    case ERROR_FILENAME_EXCED_RANGE:
      return ENAMETOOLONG;
    case ERROR_INVALID_HANDLE:
      return EBADF;
    case ERROR_NOT_SUPPORTED:
    case ERROR_INVALID_FUNCTION:
      return ENOTSUP;
    default:
      return EIO;
  }
}

bool failed() {
  errno = errno_of(::GetLastError());
  return false;
}

HANDLE handle_of(int file) {
  return reinterpret_cast<HANDLE>(::_get_osfhandle(file));
}

int opened(const fs::path& path, DWORD access, DWORD creation, DWORD flags) {
  HANDLE handle = ::CreateFileW(path.c_str(), access, kShareAll, nullptr, creation, flags, nullptr);
  if (handle == INVALID_HANDLE_VALUE) {
    failed();
    return -1;
  }
  const int file = ::_open_osfhandle(reinterpret_cast<intptr_t>(handle), _O_BINARY | _O_NOINHERIT);
  if (file < 0) {
    ::CloseHandle(handle);
    errno = EMFILE;
  }
  return file;
}

OVERLAPPED position(uint64_t offset) {
  OVERLAPPED place{};
  place.Offset = static_cast<DWORD>(offset);
  place.OffsetHigh = static_cast<DWORD>(offset >> 32);
  return place;
}

DWORD part_of(size_t size) {
  return size < kMostBytes ? static_cast<DWORD>(size) : kMostBytes;
}

bool lock_at(int file, uint64_t offset, DWORD flags) {
  OVERLAPPED place = position(offset);
  return ::LockFileEx(handle_of(file), LOCKFILE_EXCLUSIVE_LOCK | flags, 0, 1, 0, &place) != 0 ||
         failed();
}

std::string letters(size_t count) {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz0123456789";
  std::random_device source;
  std::uniform_int_distribution<size_t> place(0, kLetters.size() - 1);
  std::string text;
  for (size_t i = 0; i < count; ++i) {
    text += kLetters[place(source)];
  }
  return text;
}

}  // namespace

int open_file(const fs::path& path, OpenAs as) {
  constexpr DWORD kBoth = GENERIC_READ | GENERIC_WRITE;
  switch (as) {
    case OpenAs::kInput:
      return opened(path, GENERIC_READ, OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS);
    case OpenAs::kNew:
    case OpenAs::kNewLog:
      return opened(path, kBoth, CREATE_NEW, FILE_ATTRIBUTE_NORMAL);
    case OpenAs::kExisting:
      return opened(path, kBoth, OPEN_EXISTING, FILE_FLAG_OPEN_REPARSE_POINT);
    case OpenAs::kEither:
      return opened(path, kBoth, OPEN_ALWAYS, FILE_ATTRIBUTE_NORMAL);
    case OpenAs::kLog:
      return opened(path, kBoth, OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL);
  }
  errno = EINVAL;
  return -1;
}

int open_unnamed(const fs::path& folder) {
  return opened(folder / (".scratch-" + letters(10)),
                GENERIC_READ | GENERIC_WRITE,
                CREATE_NEW,
                FILE_ATTRIBUTE_TEMPORARY | FILE_FLAG_DELETE_ON_CLOSE);
}

bool close_file(int file) {
  return ::_close(file) == 0;
}

int64_t read_at(int file, std::span<std::byte> out, uint64_t offset) {
  OVERLAPPED place = position(offset);
  DWORD count = 0;
  if (::ReadFile(handle_of(file), out.data(), part_of(out.size()), &count, &place) == 0 &&
      ::GetLastError() != ERROR_HANDLE_EOF) {
    failed();
    return -1;
  }
  return count;
}

int64_t write_at(int file, std::span<const std::byte> bytes, uint64_t offset) {
  OVERLAPPED place = position(offset);
  DWORD count = 0;
  if (::WriteFile(handle_of(file), bytes.data(), part_of(bytes.size()), &count, &place) == 0) {
    failed();
    return -1;
  }
  return count;
}

int64_t append(int file, std::span<const std::byte> bytes) {
  return write_at(file, bytes, UINT64_MAX);  // which means the end
}

std::optional<FileFacts> facts_of(int file) {
  BY_HANDLE_FILE_INFORMATION info{};
  HANDLE handle = handle_of(file);
  if (::GetFileType(handle) != FILE_TYPE_DISK) {
    return FileFacts{false, 0, true};
  }
  FILE_STANDARD_INFO standard{};
  if (::GetFileInformationByHandle(handle, &info) == 0 ||
      ::GetFileInformationByHandleEx(handle, FileStandardInfo, &standard, sizeof(standard)) == 0) {
    failed();
    return std::nullopt;
  }
  const bool is_folder = (info.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY) != 0;
  return FileFacts{!is_folder,
                   static_cast<uint64_t>(standard.EndOfFile.QuadPart),
                   standard.NumberOfLinks > 0 && standard.DeletePending == 0};
}

bool resize_file(int file, uint64_t size) {
  FILE_END_OF_FILE_INFO end{};
  end.EndOfFile.QuadPart = static_cast<LONGLONG>(size);
  return ::SetFileInformationByHandle(handle_of(file), FileEndOfFileInfo, &end, sizeof(end)) != 0 ||
         failed();
}

int reserve(int file, uint64_t size) {
  return resize_file(file, size) ? 0 : errno;  // the size takes the blocks
}

int64_t copy_inside(int /*from*/,
                    uint64_t /*from_offset*/,
                    int /*to*/,
                    uint64_t /*to_offset*/,
                    uint64_t /*count*/) {
  errno = ENOTSUP;
  return -1;
}

bool is_disk_full(int error) {
  return error == ENOSPC || error == EFBIG;
}

bool try_lock(int file) {
  return lock_at(file, kLockPlace, LOCKFILE_FAIL_IMMEDIATELY);
}

bool wait_lock(int file) {
  return lock_at(file, 0, 0);
}

bool is_shared(int file) {
  FILE_REMOTE_PROTOCOL_INFO info{};
  return ::GetFileInformationByHandleEx(
             handle_of(file), FileRemoteProtocolInfo, &info, sizeof(info)) != 0;
}

std::string machine_name() {
  std::array<char, 256> name{};
  auto size = static_cast<DWORD>(name.size());
  return ::GetComputerNameA(name.data(), &size) != 0 ? std::string(name.data(), size) : "";
}

int process_id() {
  return static_cast<int>(::GetCurrentProcessId());
}

fs::path home_folder() {
  const wchar_t* home = ::_wgetenv(L"USERPROFILE");
  return home == nullptr ? L"" : home;
}

bool make_folder(const fs::path& path) {
  return ::CreateDirectoryW(path.c_str(), nullptr) != 0 || failed();
}

fs::path make_private_folder() {
  std::error_code error;
  fs::path path = fs::temp_directory_path(error) / ("lorapress-" + letters(10));
  return !error && make_folder(path) ? path : fs::path();  // the user's own folder holds it
}

bool exchange_names(const fs::path& /*one*/, const fs::path& /*other*/) {
  errno = ENOTSUP;
  return false;
}

std::optional<std::pair<uint64_t, uint64_t>> identity_of(const fs::path& path) {
  const Descriptor file(opened(path, 0, OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS));
  BY_HANDLE_FILE_INFORMATION info{};
  if (!file.valid() || ::GetFileInformationByHandle(handle_of(file.get()), &info) == 0) {
    return std::nullopt;
  }
  return std::pair(uint64_t{info.dwVolumeSerialNumber},
                   uint64_t{info.nFileIndexHigh} << 32 | info.nFileIndexLow);
}

fs::path program_path() {
  std::wstring path(size_t{1} << 15, L'\0');
  const DWORD size = ::GetModuleFileNameW(nullptr, path.data(), static_cast<DWORD>(path.size()));
  path.resize(size < path.size() ? size : 0);
  return path;
}

void* open_library(const std::string& name, std::string& why) {
  const fs::path path(name);
  // A library that is named by its place finds those beside it.
  const DWORD flags = path.is_absolute() ? LOAD_WITH_ALTERED_SEARCH_PATH : 0;
  HMODULE library = ::LoadLibraryExW(path.c_str(), nullptr, flags);
  if (library == nullptr) {
    const auto error = static_cast<int>(::GetLastError());
    why = name + ": " + std::system_category().message(error);
    while (why.ends_with('\n') || why.ends_with('\r')) {
      why.pop_back();
    }
  }
  return reinterpret_cast<void*>(library);
}

void* library_symbol(void* library, const char* name) {
  return reinterpret_cast<void*>(::GetProcAddress(static_cast<HMODULE>(library), name));
}

uint64_t peak_memory() {
  PROCESS_MEMORY_COUNTERS counters{};
  return ::K32GetProcessMemoryInfo(::GetCurrentProcess(), &counters, sizeof(counters)) != 0
             ? counters.PeakWorkingSetSize
             : 0;
}

std::string processor_name() {
  std::array<char, 256> name{};
  auto size = static_cast<DWORD>(name.size() - 1);
  const LSTATUS status = ::RegGetValueA(HKEY_LOCAL_MACHINE,
                                        "HARDWARE\\DESCRIPTION\\System\\CentralProcessor\\0",
                                        "ProcessorNameString",
                                        RRF_RT_REG_SZ,
                                        nullptr,
                                        name.data(),
                                        &size);
  return status == ERROR_SUCCESS ? name.data() : "";
}

}  // namespace lorapress::sys
