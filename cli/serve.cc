#include "lorapress/serve.h"

#include <csignal>
#include <cstdio>
#include <fcntl.h>
#include <fmt/format.h>
#include <memory>
#include <nlohmann/json.hpp>
#include <pthread.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command.h"
#include "terminal.h"

namespace lorapress::cli {
namespace {

struct ServeArguments {
  std::string folder;
  ServeOptions options;
  bool open = false;
  bool json = false;
};

// Ctrl-C and the other signals that end a program, for sigwait(); signals that nohup ignores stay ignored. Blocked
// before the server starts, so that its threads leave them alone too.
sigset_t block_endings() {
  sigset_t endings;
  sigemptyset(&endings);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction action{};
    sigaction(signal, nullptr, &action);
    if (action.sa_handler != SIG_IGN) {
      sigaddset(&endings, signal);
    }
  }
  pthread_sigmask(SIG_BLOCK, &endings, nullptr);
  return endings;
}

// Opens the address with the desktop's own command, which returns at once.
bool open_browser(const std::string& url) {
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);  // a child inherits blocked signals
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  posix_spawn_file_actions_t streams;
  posix_spawn_file_actions_init(&streams);
  for (const int stream : {STDOUT_FILENO, STDERR_FILENO}) {
    posix_spawn_file_actions_addopen(&streams, stream, "/dev/null", O_WRONLY, 0);
  }
  std::string program = "xdg-open";
  std::string address = url;
  char* words[] = {program.data(), address.data(), nullptr};
  pid_t child = -1;
  int status = 0;
  const bool started =
      posix_spawnp(&child, program.c_str(), &streams, &attributes, words, environ) == 0;
  posix_spawn_file_actions_destroy(&streams);
  posix_spawnattr_destroy(&attributes);
  return started && waitpid(child, &status, 0) == child && status == 0;
}

void print_address(const ServeArguments& arguments, const Server& server) {
  if (arguments.json) {
    const nlohmann::json document = {{"url", server.url()},
                                     {"host", arguments.options.host},
                                     {"port", server.port()},
                                     {"folder", arguments.folder}};
    fmt::print("{}\n", document.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  } else {
    fmt::print("{} is served at {} (Ctrl-C ends it)\n", one_line(arguments.folder), server.url());
  }
  std::fflush(stdout);  // for a reader that waits for the address
}

int run_serve(ServeArguments& arguments) {
  const sigset_t endings = block_endings();
  arguments.options.folder = arguments.folder;
  Server server(arguments.options);
  print_address(arguments, server);
  if (arguments.open && !open_browser(server.url())) {
    fmt::print(stderr, "lorapress: no browser could be opened (xdg-open); open {}\n", server.url());
  }
  int signal = 0;
  sigwait(&endings, &signal);
  server.stop();
  return 0;
}

}  // namespace

void add_serve(CLI::App& app, Run& run) {
  auto arguments = std::make_shared<ServeArguments>();
  CLI::App* command = app.add_subcommand(
      "serve", "Serve a folder of models and pages to browsers, with the headers they need");
  command->add_option("DIR", arguments->folder, "Folder to serve; nothing outside it is given")
      ->required()
      ->type_name("");
  command->add_option("--port", arguments->options.port, "Port to listen at; 0 takes a free one")
      ->check(number(0, 65535))
      ->capture_default_str()
      ->type_name("N");
  command
      ->add_option("--host",
                   arguments->options.host,
                   "Address to listen at; 0.0.0.0 lets other machines and other host names in")
      ->capture_default_str()
      ->type_name("NAME");
  command->add_flag("--open", arguments->open, "Open the page in the desktop's browser");
  command->add_flag("--json",
                    arguments->json,
                    "Print the address as one line of JSON: {url, host, port, folder}");
  command->callback([arguments, &run] { run = [arguments] { return run_serve(*arguments); }; });
}

}  // namespace lorapress::cli
