#include "lorapress/serve.h"

#include <cstdio>
#include <fmt/format.h>
#include <memory>
#include <nlohmann/json.hpp>

#include "command.h"
#include "system.h"
#include "terminal.h"

namespace lorapress::cli {
namespace {

struct ServeArguments {
  std::string folder;
  ServeOptions options;
  bool open = false;
  bool json = false;
};

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
  Endings endings;  // before the server starts, so that its threads leave them alone, too
  arguments.options.folder = arguments.folder;
  Server server(arguments.options);
  print_address(arguments, server);
  if (arguments.open && !open_browser(server.url())) {
    fmt::print(stderr,
               "lorapress: no browser could be opened ({}); open {}\n",
               kBrowserCommand,
               server.url());
  }
  endings.wait();
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
