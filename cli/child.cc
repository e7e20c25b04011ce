#include "child.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <spawn.h>
#include <string_view>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>

#include "lorapress/error.h"

namespace lorapress::cli {
namespace {

using nlohmann::json;

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
    if (pipe2(ends.data(), O_CLOEXEC) != 0) {
      fail_spawn(errno);
    }
    std::vector<char*> words{const_cast<char*>("lorapress")};  // execve wants no const
    for (const std::string& argument : arguments) {
      words.push_back(const_cast<char*>(argument.c_str()));
    }
    words.push_back(nullptr);
    posix_spawn_file_actions_t streams;
    posix_spawn_file_actions_init(&streams);
    posix_spawn_file_actions_addopen(&streams, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&streams, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&streams, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    const int error =
        posix_spawn(&pid_, "/proc/self/exe", &streams, nullptr, words.data(), environ);
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

// {"error": {"code": …, "message": …}} back to the exception.
[[noreturn]] void fail_as(const std::string& output, int status) {
  if (WIFSIGNALED(status)) {
    const int signal = WTERMSIG(status);
    throw Error(ErrorCode::kRuntime,
                fmt::format("the child process was ended by signal {} ({}){}",
                            signal,
                            strsignal(signal),
                            signal == SIGKILL ? "; was there enough memory?" : ""));
  }
  const json document = json::parse(output, nullptr, false);
  if (document.is_object() && document.contains("error")) {
    const json& error = document["error"];
    for (const ErrorCodeRow& row : kErrorCodes) {
      if (error.value("code", "") == row.name) {
        throw Error(row.code, error.value("message", ""));
      }
    }
  }
  throw Error(ErrorCode::kRuntime,
              fmt::format("the child process failed with exit code {}", WEXITSTATUS(status)));
}

}  // namespace

std::string run_self(const std::vector<std::string>& arguments,
                     const std::function<void()>& on_wake) {
  Child child(arguments);
  std::string output = child.read_all(on_wake);
  const int status = child.wait(on_wake);
  if (status != 0) {
    on_wake();  // Ctrl-C reaches both processes
    fail_as(output, status);
  }
  return output;
}

}  // namespace lorapress::cli
