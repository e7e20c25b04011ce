#include <array>
#include <atomic>
#include <csignal>
#include <fcntl.h>
#include <fmt/format.h>
#include <io.h>
#include <system_error>
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>
// needs windows.h
#include <psapi.h>
#include <shellapi.h>

#include "lorapress/error.h"

#include "system.h"

namespace lorapress::cli {
namespace {

[[noreturn]] void fail_start() {
  const auto error = static_cast<int>(::GetLastError());
  throw Error(
      ErrorCode::kIo,
      fmt::format("cannot run this program again: {}", std::system_category().message(error)));
}

class Handle {
 public:
  explicit Handle(HANDLE value = nullptr) : value_(value) {}
  ~Handle() { close(); }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  [[nodiscard]] HANDLE get() const { return value_; }
  HANDLE* place() { return &value_; }
  void close() {
    if (value_ != nullptr && value_ != INVALID_HANDLE_VALUE) {
      ::CloseHandle(value_);
    }
    value_ = nullptr;
  }

 private:
  HANDLE value_;
};

// As CommandLineToArgvW and the C library take a command line apart: backslashes count only before a quotation mark.
void add_word(std::string& line, const std::string& word) {
  line += line.empty() ? "\"" : " \"";
  size_t backslashes = 0;
  for (const char c : word) {
    if (c == '"') {
      line.append(backslashes + 1, '\\');
    }
    backslashes = c == '\\' ? backslashes + 1 : 0;
    line += c;
  }
  line.append(backslashes, '\\');
  line += '"';
}

// Without a limit of 260 characters.
std::wstring program() {
  std::wstring path(size_t{1} << 15, L'\0');
  const DWORD size = ::GetModuleFileNameW(nullptr, path.data(), static_cast<DWORD>(path.size()));
  path.resize(size < path.size() ? size : 0);
  return path;
}

std::wstring wide(const std::string& text) {
  const auto size = static_cast<int>(text.size());
  std::wstring out(text.size(), L'\0');
  const int length = ::MultiByteToWideChar(CP_ACP, 0, text.data(), size, out.data(), size);
  out.resize(static_cast<size_t>(length));
  return out;
}

// Of the handles that children may inherit, this child gets these three.
class InheritList {
 public:
  explicit InheritList(std::array<HANDLE, 2>& handles) {
    SIZE_T size = 0;
    ::InitializeProcThreadAttributeList(nullptr, 1, 0, &size);
    memory_.resize(size);
    if (::InitializeProcThreadAttributeList(get(), 1, 0, &size) == 0 ||
        ::UpdateProcThreadAttribute(get(),
                                    0,
                                    PROC_THREAD_ATTRIBUTE_HANDLE_LIST,
                                    handles.data(),
                                    sizeof(HANDLE) * handles.size(),
                                    nullptr,
                                    nullptr) == 0) {
      fail_start();
    }
  }
  ~InheritList() { ::DeleteProcThreadAttributeList(get()); }
  InheritList(const InheritList&) = delete;
  InheritList& operator=(const InheritList&) = delete;
  LPPROC_THREAD_ATTRIBUTE_LIST get() {
    return reinterpret_cast<LPPROC_THREAD_ATTRIBUTE_LIST>(memory_.data());
  }

 private:
  std::vector<char> memory_;
};

std::atomic<void (*)(int)> ending_handler{nullptr};
std::atomic<HANDLE> ending_event{nullptr};

// Runs on a thread of its own. Without a handler, or when it was called before, Windows ends the program.
BOOL WINAPI on_control(DWORD /*kind*/) {
  if (HANDLE event = ending_event; event != nullptr) {
    ::SetEvent(event);
    return TRUE;
  }
  if (auto* handler = ending_handler.exchange(nullptr); handler != nullptr) {
    handler(SIGINT);
    return TRUE;
  }
  return FALSE;
}

}  // namespace

void prepare_process() {
  for (std::FILE* stream : {stdin, stdout, stderr}) {
    if (_fileno(stream) >= 0) {
      _setmode(_fileno(stream), _O_BINARY);
    }
  }
  ::SetConsoleOutputCP(CP_UTF8);
  HANDLE screen = ::GetStdHandle(STD_ERROR_HANDLE);
  DWORD mode = 0;
  if (::GetConsoleMode(screen, &mode) != 0) {
    ::SetConsoleMode(screen, mode | ENABLE_VIRTUAL_TERMINAL_PROCESSING);  // for "erase the line"
  }
}

bool is_terminal(std::FILE* stream) {
  DWORD mode = 0;  // _isatty() takes every device, NUL too, for one
  return _fileno(stream) >= 0 &&
         ::GetConsoleMode(reinterpret_cast<HANDLE>(_get_osfhandle(_fileno(stream))), &mode) != 0;
}

size_t terminal_width() {
  CONSOLE_SCREEN_BUFFER_INFO info{};
  const bool known = ::GetConsoleScreenBufferInfo(::GetStdHandle(STD_ERROR_HANDLE), &info) != 0;
  const int width = info.srWindow.Right - info.srWindow.Left;  // the last column stays free
  return known && width > 0 ? static_cast<size_t>(width) : 80;
}

void on_ending(void (*handler)(int)) {
  ending_handler = handler;
  ::SetConsoleCtrlHandler(on_control, TRUE);
}

uint64_t peak_resident_bytes() {
  PROCESS_MEMORY_COUNTERS counters{};
  return ::K32GetProcessMemoryInfo(::GetCurrentProcess(), &counters, sizeof(counters)) != 0
             ? counters.PeakWorkingSetSize
             : 0;
}

struct Endings::State {
  Handle event{::CreateEventW(nullptr, TRUE, FALSE, nullptr)};
};

Endings::Endings() : state_(std::make_unique<State>()) {
  ending_event = state_->event.get();
  ::SetConsoleCtrlHandler(on_control, TRUE);
}

Endings::~Endings() {
  ending_event = nullptr;
}

void Endings::wait() {
  ::WaitForSingleObject(state_->event.get(), INFINITE);
}

const char* const kBrowserCommand = "start";

bool open_browser(const std::string& url) {
  constexpr INT_PTR kMostErrors = 32;
  const HINSTANCE result =
      ::ShellExecuteW(nullptr, L"open", wide(url).c_str(), nullptr, nullptr, SW_SHOWNORMAL);
  return reinterpret_cast<INT_PTR>(result) > kMostErrors;
}

// Ctrl-C reaches the child, too, so that reading ends.
ChildEnd run_again(const std::vector<std::string>& arguments,
                   const std::function<void()>& /*on_wake*/) {
  SECURITY_ATTRIBUTES inherited{sizeof(SECURITY_ATTRIBUTES), nullptr, TRUE};
  Handle output;
  Handle input;
  if (::CreatePipe(output.place(), input.place(), &inherited, 0) == 0) {
    fail_start();
  }
  ::SetHandleInformation(output.get(), HANDLE_FLAG_INHERIT, 0);
  Handle nothing(::CreateFileW(L"NUL",
                               GENERIC_READ | GENERIC_WRITE,
                               FILE_SHARE_READ | FILE_SHARE_WRITE,
                               &inherited,
                               OPEN_EXISTING,
                               0,
                               nullptr));
  std::array<HANDLE, 2> handles = {input.get(), nothing.get()};
  InheritList list(handles);
  STARTUPINFOEXW start{};
  start.StartupInfo.cb = sizeof(start);
  start.StartupInfo.dwFlags = STARTF_USESTDHANDLES;
  start.StartupInfo.hStdInput = nothing.get();
  start.StartupInfo.hStdOutput = input.get();
  start.StartupInfo.hStdError = nothing.get();
  start.lpAttributeList = list.get();
  std::string line;
  add_word(line, "lorapress");
  for (const std::string& argument : arguments) {
    add_word(line, argument);
  }
  std::wstring words = wide(line);
  PROCESS_INFORMATION made{};
  if (::CreateProcessW(program().c_str(),
                       words.data(),
                       nullptr,
                       nullptr,
                       TRUE,
                       EXTENDED_STARTUPINFO_PRESENT,
                       nullptr,
                       nullptr,
                       &start.StartupInfo,
                       &made) == 0) {
    fail_start();
  }
  const Handle process(made.hProcess);
  const Handle thread(made.hThread);
  input.close();
  ChildEnd end;
  std::array<char, 4096> part{};
  DWORD got = 0;
  while (::ReadFile(output.get(), part.data(), part.size(), &got, nullptr) != 0 && got > 0) {
    end.output.append(part.data(), got);
  }
  ::WaitForSingleObject(process.get(), INFINITE);
  DWORD code = 0;
  ::GetExitCodeProcess(process.get(), &code);
  constexpr DWORD kFaults = 0xC0000000;  // NTSTATUS of severity "error"
  if (code >= kFaults) {
    end.killed_by = fmt::format("Windows with status {:#x}", code);
  } else {
    end.code = static_cast<int>(code);
  }
  return end;
}

}  // namespace lorapress::cli
