#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <io.h>
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>

#include "base/fail.h"
#include "serve/served_folder.h"

namespace lorapress {
namespace {

constexpr DWORD kShareAll = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;

HANDLE handle_of(int file) {
  return reinterpret_cast<HANDLE>(::_get_osfhandle(file));
}

// The path of an open file now, as in \\?\C:\folder\name: all links and short names resolved; empty where unknown.
std::wstring real_place(int file) {
  constexpr DWORD kMost = 1U << 15;
  std::wstring place(kMost, L'\0');
  const DWORD length =
      ::GetFinalPathNameByHandleW(handle_of(file), place.data(), kMost, FILE_NAME_NORMALIZED);
  place.resize(length < kMost ? length : 0);
  return place;
}

// The part of `place` below `folder`, with a backslash first; none where it lies elsewhere.
std::optional<std::wstring> part_below(const std::wstring& place, std::wstring folder) {
  if (place.empty() || folder.empty()) {
    return std::nullopt;
  }
  if (folder.ends_with(L'\\')) {  // the root of a drive
    folder.pop_back();
  }
  if (!place.starts_with(folder) ||
      (place.size() > folder.size() && place[folder.size()] != L'\\')) {
    return std::nullopt;
  }
  return place.substr(folder.size());
}

// UTF-8 with slashes as the system takes it behind \\?\, where nothing in a name has a meaning; none for a name with
// characters that no name has, such as the colon before a stream's name.
std::optional<std::wstring> system_name(std::string path) {
  if (path.find_first_of("\\:*?\"<>|") != std::string::npos) {
    return std::nullopt;
  }
  if (path.ends_with('/')) {
    path.pop_back();
  }
  if (path.empty()) {
    return std::wstring();
  }
  std::wstring wide(path.size(), L'\0');
  const auto size = static_cast<int>(path.size());
  const int length =
      ::MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path.data(), size, wide.data(), size);
  if (length <= 0) {
    return std::nullopt;
  }
  wide.resize(static_cast<size_t>(length));
  std::ranges::replace(wide, L'/', L'\\');
  return L'\\' + wide;
}

sys::Descriptor open_at(const std::wstring& place) {
  HANDLE handle = ::CreateFileW(place.c_str(),
                                GENERIC_READ,
                                kShareAll,
                                nullptr,
                                OPEN_EXISTING,
                                FILE_FLAG_BACKUP_SEMANTICS,  // folders open, too
                                nullptr);
  if (handle == INVALID_HANDLE_VALUE) {
    return sys::Descriptor();
  }
  sys::Descriptor file(
      ::_open_osfhandle(reinterpret_cast<intptr_t>(handle), _O_RDONLY | _O_BINARY | _O_NOINHERIT));
  if (!file.valid()) {
    ::CloseHandle(handle);
  }
  return file;
}

uint64_t joined(DWORD high, DWORD low) {
  return uint64_t{high} << 32 | low;
}

}  // namespace

ServedFolder::ServedFolder(const std::filesystem::path& folder)
    : folder_(open_at(std::filesystem::absolute(folder).wstring())) {
  BY_HANDLE_FILE_INFORMATION info{};
  if (!folder_.valid() || ::GetFileInformationByHandle(handle_of(folder_.get()), &info) == 0 ||
      (info.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY) == 0) {
    fail(ErrorCode::kNotFound, "{}: no such folder, expected a folder to serve", folder.string());
  }
  if (real_place(folder_.get()).empty()) {
    fail(ErrorCode::kIo, "{}: Windows does not tell its place", folder.string());
  }
}

std::optional<ServedFolder::Entry> ServedFolder::open(const std::string& path) const {
  const std::wstring folder = real_place(folder_.get());
  const std::optional<std::wstring> name = system_name(path);
  if (!name) {
    return std::nullopt;
  }
  // The check concerns the opened file, so exchanging links between check and use gains nothing.
  Entry entry;
  entry.file = open_at(folder.ends_with(L'\\') && !name->empty() ? folder + name->substr(1)
                                                                 : folder + *name);
  BY_HANDLE_FILE_INFORMATION info{};
  if (!entry.file.valid() || ::GetFileType(handle_of(entry.file.get())) != FILE_TYPE_DISK ||
      ::GetFileInformationByHandle(handle_of(entry.file.get()), &info) == 0) {
    return std::nullopt;
  }
  const std::optional<std::wstring> part = part_below(real_place(entry.file.get()), folder);
  if (!part || part->find(L"\\.") != std::wstring::npos) {
    return std::nullopt;
  }
  entry.is_folder = (info.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY) != 0;
  if (entry.is_folder) {
    entry.file = sys::Descriptor();
    return entry;
  }
  if (path.ends_with('/')) {
    return std::nullopt;
  }
  entry.size = joined(info.nFileSizeHigh, info.nFileSizeLow);
  entry.etag = etag_of(
      entry.size, joined(info.ftLastWriteTime.dwHighDateTime, info.ftLastWriteTime.dwLowDateTime));
  return entry;
}

}  // namespace lorapress
