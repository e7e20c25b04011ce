#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <pthread.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#if defined(__APPLE__)
#include <crt_externs.h>
#include <mach-o/dyld.h>
#endif

#include "lorapress/error.h"

#include "system.h"

namespace lorapress::cli {
namespace {

constexpr std::array kEndings = {SIGINT, SIGTERM, SIGHUP};

#if defined(__APPLE__)
std::string program() {
  std::string path(4096, '\0');
  auto size = static_cast<uint32_t>(path.size());
  return _NSGetExecutablePath(path.data(), &size) == 0 ? path.c_str() : "";
}

char** environment() {
  return *_NSGetEnviron();  // a shared library has no environ
}

bool open_pipe(std::array<int, 2>& ends) {
  if (pipe(ends.data()) != 0) {
    return false;
  }
  for (const int end : ends) {
    fcntl(end, F_SETFD, FD_CLOEXEC);
  }
  return true;
}
#else
std::string program() {
  return "/proc/self/exe";
}

char** environment() {
  return environ;
}

bool open_pipe(std::array<int, 2>& ends) {
  return pipe2(ends.data(), O_CLOEXEC) == 0;
}
#endif

// nohup sets SIG_IGN.
bool is_ignored(int signal) {
  struct sigaction action{};
  sigaction(signal, nullptr, &action);
  return action.sa_handler == SIG_IGN;
}

[[noreturn]] void fail_spawn(int error) {
  throw Error(ErrorCode::kIo,
              fmt::format("cannot run this program again: {}", std::strerror(error)));
}

// A running child and the read end of its standard output; its standard error is discarded, as its
// errors arrive as JSON.
class Child {
 public:
  explicit Child(const std::vector<std::string>& arguments) {
    std::array<int, 2> ends{};
    if (!open_pipe(ends)) {
      fail_spawn(errno);
    }
    std::vector<char*> words{const_cast<char*>("lorapress")};  // execve wants no const
    for (const std::string& argument : arguments) {
      words.push_back(const_cast<char*>(argument.c_str()));
    }
    words.push_back(nullptr);
    posix_spawn_file_actions_t streams{};
    posix_spawn_file_actions_init(&streams);
    posix_spawn_file_actions_addopen(&streams, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&streams, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&streams, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    const int error =
        posix_spawn(&pid_, program().c_str(), &streams, nullptr, words.data(), environment());
    posix_spawn_file_actions_destroy(&streams);
    close(ends[1]);
    output_ = ends[0];
    if (error != 0) {
      close(output_);
      fail_spawn(error);
    }
  }
  ~Child() {
    close(output_);
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      wait(nullptr);
    }
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  std::string read_all(const std::function<void()>& on_wake) {
    std::string text;
    std::array<char, 4096> part{};
    while (true) {
      const ssize_t got = read(output_, part.data(), part.size());
      if (got == 0) {
        return text;
      }
      if (got > 0) {
        text.append(part.data(), static_cast<size_t>(got));
      } else if (errno == EINTR) {
        on_wake();
      } else {
        fail_spawn(errno);
      }
    }
  }

  int wait(const std::function<void()>& on_wake) {
    int status = 0;
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
      if (on_wake) {
        on_wake();
      }
    }
    pid_ = -1;
    return status;
  }

 private:
  pid_t pid_ = -1;
  int output_ = -1;
};

}  // namespace

void prepare_process() {
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(stream, F_GETFD) == -1) {
      open("/dev/null", O_RDWR);
    }
  }
  std::signal(SIGXFSZ, SIG_IGN);
}

bool is_terminal(std::FILE* stream) {
  return isatty(fileno(stream)) == 1;
}

size_t terminal_width() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

void on_ending(void (*handler)(int)) {
  struct sigaction action{};
  action.sa_handler = handler;
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  for (const int signal : kEndings) {
    if (!is_ignored(signal)) {
      sigaction(signal, &action, nullptr);
    }
  }
}

uint64_t peak_resident_bytes() {
#if defined(__APPLE__)
  constexpr uint64_t kUnit = 1;
#else
  constexpr uint64_t kUnit = 1024;
#endif
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) * kUnit;
}

struct Endings::State {
  sigset_t signals;
};

Endings::Endings() : state_(std::make_unique<State>()) {
  sigemptyset(&state_->signals);
  for (const int signal : kEndings) {
    if (!is_ignored(signal)) {
      sigaddset(&state_->signals, signal);
    }
  }
  pthread_sigmask(SIG_BLOCK, &state_->signals, nullptr);
}

Endings::~Endings() = default;

void Endings::wait() {
  int signal = 0;
  sigwait(&state_->signals, &signal);
}

#if defined(__APPLE__)
const char* const kBrowserCommand = "open";
#else
const char* const kBrowserCommand = "xdg-open";
#endif

bool open_browser(const std::string& url) {
  posix_spawnattr_t attributes{};
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);  // a child inherits blocked signals
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  posix_spawn_file_actions_t streams{};
  posix_spawn_file_actions_init(&streams);
  for (const int stream : {STDOUT_FILENO, STDERR_FILENO}) {
    posix_spawn_file_actions_addopen(&streams, stream, "/dev/null", O_WRONLY, 0);
  }
  std::string command = kBrowserCommand;
  std::string address = url;
  std::array<char*, 3> words = {command.data(), address.data(), nullptr};
  pid_t child = -1;
  int status = 0;
  const bool started =
      posix_spawnp(&child, command.c_str(), &streams, &attributes, words.data(), environment()) ==
      0;
  posix_spawn_file_actions_destroy(&streams);
  posix_spawnattr_destroy(&attributes);
  return started && waitpid(child, &status, 0) == child && status == 0;
}

ChildEnd run_again(const std::vector<std::string>& arguments,
                   const std::function<void()>& on_wake) {
  Child child(arguments);
  ChildEnd end;
  end.output = child.read_all(on_wake);
  const int status = child.wait(on_wake);
  if (WIFSIGNALED(status)) {
    const int signal = WTERMSIG(status);
    end.killed_by = fmt::format("signal {} ({}){}",
                                signal,
                                strsignal(signal),
                                signal == SIGKILL ? "; was there enough memory?" : "");
  } else {
    end.code = WEXITSTATUS(status);
  }
  return end;
}

}  // namespace lorapress::cli
