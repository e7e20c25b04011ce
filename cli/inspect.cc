#include "lorapress/inspect.h"

#include <fmt/format.h>
#include <memory>
#include <nlohmann/json.hpp>

#include "command.h"
#include "terminal.h"

namespace lorapress::cli {
namespace {

using nlohmann::json;

// Numbers of bytes or parameters in readable units, all other values unchanged.
std::string value_text(const std::string& key, const json& value) {
  if (value.is_number_unsigned() && (key == "bytes" || key == "parameters")) {
    return key == "bytes" ? human_bytes(value.get<uint64_t>()) : human_count(value.get<uint64_t>());
  }
  return value.is_string() ? printable(value.get<std::string>()) : value.dump();
}

// Two columns for files ({path, bytes}) and ports ({name, type}), else {"a": 1} as "a 1, b 2".
std::string flat(const json& object, const std::string& key) {
  constexpr std::array kColumns = {std::pair{"path", "bytes"}, std::pair{"name", "type"}};
  for (const auto& [left, right] : kColumns) {
    if (object.size() == 2 && object.contains(left) && object.contains(right)) {
      return fmt::format(
          "{:<44} {}", value_text(left, object[left]), value_text(right, object[right]));
    }
  }
  std::string line;
  for (const auto& [name, value] : object.items()) {
    const std::string unit = key == "dtypes" ? "bytes" : name;
    line +=
        fmt::format("{}{} {}", line.empty() ? "" : ", ", printable(name), value_text(unit, value));
  }
  return line;
}

// ["a", "b"] as "a, b".
std::string joined(const json& list) {
  std::string line;
  for (const json& element : list) {
    line += (line.empty() ? "" : ", ") + value_text("", element);
  }
  return line;
}

void print_row(const std::string& key, const json& value) {
  constexpr int kWidth = 16;
  if (value.is_object()) {
    fmt::print("{:<{}} {}\n", key, kWidth, flat(value, key));
  } else if (key == "bundles") {
    fmt::print("{:<{}} {}\n", key, kWidth, value.empty() ? "none" : joined(value));
  } else if (value.is_array()) {
    for (const json& element : value) {
      fmt::print("{:<{}} {}\n",
                 key,
                 kWidth,
                 element.is_object() ? flat(element, key) : value_text(key, element));
    }
  } else {
    fmt::print("{:<{}} {}\n", key, kWidth, value_text(key, value));
  }
}

// The most useful keys first, the others in alphabetical order.
void print(json document) {
  for (const char* key : {"kind",
                          "path",
                          "family",
                          "architecture",
                          "bundles",
                          "bundle",
                          "bytes",
                          "parameters",
                          "tensors",
                          "dtypes",
                          "vision",
                          "projection",
                          "text",
                          "adapters",
                          "inputs",
                          "outputs"}) {
    if (document.contains(key)) {
      print_row(key, document[key]);
      document.erase(key);
    }
  }
  for (const auto& [key, value] : document.items()) {
    print_row(key, value);
  }
}

}  // namespace

void add_inspect(CLI::App& app, Run& run) {
  struct Arguments {
    std::string path;
    bool json = false;
  };
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("inspect",
                                         "Say what a path is: a checkpoint, an adapter, a pressed "
                                         "folder, an .onnx or .safetensors file");
  command->add_option("PATH", arguments->path, "File or folder, or hf:ORG/NAME[@REVISION]")->required()->type_name("");
  command->add_flag("--json", arguments->json, "Print the JSON document");
  command->callback([arguments, &run] {
    run = [arguments] {
      const std::string text = inspect(to_folder(arguments->path));
      if (arguments->json) {
        fmt::print("{}\n", text);
      } else {
        print(json::parse(text));
      }
      return 0;
    };
  });
}

}  // namespace lorapress::cli
