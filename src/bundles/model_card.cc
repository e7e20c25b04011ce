#include "bundles/model_card.h"

#include <algorithm>
#include <array>

#include "base/fail.h"
#include "bundles/manifest.h"

namespace lorapress {
namespace {

// ORG/NAME as hubs spell it, and no path.
bool is_hub_id(std::string_view text) {
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == '/';
  };
  return std::ranges::all_of(text, plain) && std::ranges::count(text, '/') == 1 &&
         text.front() != '/' && text.front() != '.' && text.back() != '/' && text.size() <= 200;
}

std::string megabytes(uint64_t bytes) {
  constexpr double kMega = 1e6;
  return fmt::format("{:.1f} MB", static_cast<double>(bytes) / kMega);
}

// In a table's cell or a sentence: no markup of its own.
std::string plain_text(std::string text) {
  std::ranges::replace_if(
      text, [](char c) { return c == '`' || c == '|' || c == '<' || c == '\n' || c == '\r'; }, ' ');
  return text;
}

// A JSON string is one of YAML, too.
std::string quoted(const std::string& text) {
  return Json(text).dump(-1, ' ', true, Json::error_handler_t::replace);
}

std::string pipeline_tag(const Manifest& manifest) {
  if (!takes_images(manifest)) {
    return "text-generation";
  }
  return manifest.conditioning == "placeholder" ? "image-text-to-text" : "image-to-text";
}

bool is_transformers_js(const Manifest& manifest) {
  constexpr std::array<std::string_view, 5> kBundles = {
      "transformers.js", "firefox", "llava", "smolvlm", "text-generation"};
  return std::ranges::find(kBundles, manifest.bundle) != kBundles.end();
}

std::string front_matter(const Manifest& manifest, const Json& json, const CardFacts& facts) {
  std::vector<std::string> bases = facts.base_models;
  if (bases.empty() && json.at("source").contains("base_models")) {
    bases = json.at("source").at("base_models").get<std::vector<std::string>>();
  }
  std::string text = "---\n";
  if (is_transformers_js(manifest)) {
    text += "library_name: transformers.js\n";
  }
  text += fmt::format("pipeline_tag: {}\n", pipeline_tag(manifest));
  if (!facts.license.empty()) {
    text += fmt::format("license: {}\n", quoted(facts.license));
  }
  if (!bases.empty()) {
    text += "base_model:\n";
    for (const std::string& base : bases) {
      text += fmt::format("- {}\n", quoted(base));
    }
  }
  return text + "tags:\n- onnx\n- lorapress\n---\n";
}

std::string description(const Manifest& manifest, const Json& json) {
  const Json& model = json.at("model");
  const auto name_of = [&](const char* key) {
    return plain_text(model.contains(key) ? model.at(key).get<std::string>() : "");
  };
  std::string text;
  if (takes_images(manifest)) {
    text = fmt::format("An image captioner: {} and {}, {}.",
                       name_of("vision_model_type"),
                       name_of("text_model_type"),
                       manifest.cross()
                           ? "with cross attention"
                           : fmt::format("which sees {} image tokens", manifest.image_tokens));
  } else {
    text = fmt::format("A language model: {}.", name_of("text_model_type"));
  }
  for (const Json& adapter : json.at("source").at("adapters")) {
    text += fmt::format(" A LoRA adapter of rank {} is merged.", adapter.at("r").get<int64_t>());
  }
  return text + fmt::format(" Written by {} from the checkpoint `{}`.\n",
                            plain_text(json.at("generator").get<std::string>()),
                            plain_text(json.at("source").at("checkpoint").get<std::string>()));
}

std::string usage(const Manifest& manifest, const CardFacts& facts) {
  const std::string id = facts.place.model_id.empty() ? "ORG/NAME" : facts.place.model_id;
  std::string text;
  if (manifest.bundle == "firefox" || manifest.bundle == "transformers.js") {
    text += fmt::format(
        "\n## Use\n\n```js\n"
        "import {{ pipeline }} from \"@huggingface/transformers\";\n\n"
        "const caption = await pipeline(\"image-to-text\", \"{}\", {{ revision: \"{}\", "
        "dtype: \"{}\" }});\n"
        "const [{{ generated_text }}] = await caption(image);\n```\n",
        id,
        facts.place.revision,
        manifest.default_dtype);
  }
  if (manifest.bundle == "firefox") {
    text += fmt::format(
        "\nIn Firefox: task `moz-image-to-text`, `modelId: \"{}\"`, `modelRevision: "
        "\"{}\"`.\n",
        id,
        facts.place.revision);
  }
  return text;
}

std::string sizes(const Manifest& manifest) {
  std::string text = "\n## Files\n\n| dtype | graphs | size |\n| --- | --- | --- |\n";
  for (const auto& [dtype, roles] : manifest.graphs) {
    std::vector<std::string> files;
    for (const auto& [role, file] : roles) {
      files.push_back("`" + file + "`");
    }
    text += fmt::format("| {}{} | {} | {} |\n",
                        dtype,
                        dtype == manifest.default_dtype ? " (default)" : "",
                        fmt::join(files, ", "),
                        megabytes(dtype_bytes(manifest, dtype)));
  }
  return text + fmt::format("\nAt most {} new tokens, unless another number is given.\n",
                            manifest.max_new_tokens);
}

[[noreturn]] void fail_report() {
  fail(ErrorCode::kInvalidFile,
       "options.report: not the JSON that `lorapress verify --json` writes of this folder");
}

std::string row_of_report(const Json& row) {
  const Json& forced = row.at("teacher_forced");
  return fmt::format("| {} | {} of {} | {} of {} | {:.1e} | {:.1e} |\n",
                     row.at("dtype").get<std::string>(),
                     forced.at("matched").get<int64_t>(),
                     forced.at("tokens").get<int64_t>(),
                     row.at("captions_equal").get<int64_t>(),
                     row.at("captions").get<int64_t>(),
                     forced.at("kl_mean").get<double>(),
                     forced.at("kl_max").get<double>());
}

std::string fidelity(const Manifest& manifest, const Json& report) {
  std::string text =
      "\n## Fidelity\n\nBeside an independent float32 forward of the same checkpoint (`lorapress "
      "verify`):\n\n| dtype | next tokens equal | captions equal | KL mean, nats | KL max |\n"
      "| --- | --- | --- | --- | --- |\n";
  size_t rows = 0;
  try {
    for (const Json& row : report.at("dtypes")) {
      if (manifest.graphs.contains(row.at("dtype").get<std::string>())) {
        text += row_of_report(row);
        ++rows;
      }
    }
  } catch (const Json::exception&) {
    fail_report();
  }
  if (rows == 0) {
    fail_report();
  }
  return text;
}

}  // namespace

void check_card_facts(const CardFacts& facts) {
  const bool plain = std::ranges::all_of(facts.license, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '+';
  });
  if (!plain) {
    fail(ErrorCode::kInvalidArgument,
         "options.license {}, expected a hub's identifier such as apache-2.0",
         quoted(facts.license));
  }
  for (const std::string& base : facts.base_models) {
    if (base.empty() || !is_hub_id(base)) {
      fail(ErrorCode::kInvalidArgument, "options.base_model {}, expected ORG/NAME", quoted(base));
    }
  }
}

std::vector<std::string> named_base_models(const Checkpoint& checkpoint) {
  std::vector<std::string> found;
  const auto add = [&](const Json& json, const char* key) {
    const auto value = json.is_object() ? json.find(key) : json.end();
    if (value == json.end() || !value->is_string()) {
      return;
    }
    auto id = value->get<std::string>();
    if (!id.empty() && is_hub_id(id) && std::ranges::find(found, id) == found.end()) {
      found.push_back(std::move(id));
    }
  };
  constexpr std::array kKeys = {"vision_model_name",
                                "vision_encoder_name",
                                "vision_model_name_or_path",
                                "language_model_name",
                                "text_model_name",
                                "language_model_name_or_path"};
  for (const char* key : kKeys) {
    add(checkpoint.config, key);
  }
  add(checkpoint.vision_json, "_name_or_path");
  add(checkpoint.text_json, "_name_or_path");
  return found;
}

Json with_base_models(const Checkpoint& checkpoint, Json source) {
  if (const std::vector<std::string> bases = named_base_models(checkpoint); !bases.empty()) {
    source["base_models"] = bases;
  }
  return source;
}

std::string model_card(const Json& manifest, const CardFacts& facts) {
  check_card_facts(facts);
  const Manifest parsed = parse_manifest(manifest, kManifestName);
  const std::string id = facts.place.model_id;
  const std::string title = id.empty() ? manifest.at("source").at("checkpoint").get<std::string>()
                                       : id.substr(id.find('/') + 1);
  std::string text = front_matter(parsed, manifest, facts) +
                     fmt::format("\n# {}\n\n", plain_text(title)) + description(parsed, manifest) +
                     usage(parsed, facts) + sizes(parsed);
  if (!facts.report.is_null()) {
    text += fidelity(parsed, facts.report);
  }
  return text;
}

}  // namespace lorapress
