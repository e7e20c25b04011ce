#include "bundles/hub_place.h"

#include <algorithm>
#include <array>

#include "base/fail.h"

namespace lorapress {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool only_of(std::string_view text, std::string_view others) {
  return !text.empty() && std::ranges::all_of(text, [&](char c) {
    return is_letter(c) || is_digit(c) || others.find(c) != std::string_view::npos;
  });
}

// Letters, digits and single hyphens, none of them at an end, and a name of letters, digits and - _ . without "--";
// a name that begins with a dot would be hidden.
bool is_model_id(std::string_view id) {
  const size_t slash = id.find('/');
  if (slash == std::string_view::npos) {
    return false;
  }
  const std::string_view organization = id.substr(0, slash);
  const std::string_view name = id.substr(slash + 1);
  return only_of(organization, "-") && !organization.starts_with('-') &&
         !organization.ends_with('-') && id.find("--") == std::string_view::npos &&
         only_of(name, "-_.") && !name.starts_with('.');
}

void skip_digits(std::string_view& text) {
  text.remove_prefix(static_cast<size_t>(std::ranges::find_if_not(text, is_digit) - text.begin()));
}

// main, or v1.2.3-beta4 with one to three numbers, where the v and what follows the numbers may be absent.
bool is_revision(std::string_view text) {
  if (text == "main") {
    return true;
  }
  if (text.starts_with('v')) {
    text.remove_prefix(1);
  }
  for (int numbers = 0; numbers < 3; ++numbers) {
    if (numbers > 0) {
      if (text.size() < 2 || text[0] != '.' || !is_digit(text[1])) {
        break;
      }
      text.remove_prefix(1);
    } else if (text.empty() || !is_digit(text[0])) {
      return false;
    }
    skip_digits(text);
  }
  if (text.empty()) {
    return true;
  }
  constexpr std::array<std::string_view, 5> kStages = {"alpha", "beta", "pre", "post", "rc"};
  for (const std::string_view stage : kStages) {
    if (text[0] == '-' && text.substr(1).starts_with(stage)) {
      text.remove_prefix(1 + stage.size());
      skip_digits(text);
      return text.empty();
    }
  }
  return false;
}

}  // namespace

void check_hub_place(const HubPlace& place) {
  if (!is_model_id(place.model_id)) {
    fail(ErrorCode::kInvalidArgument,
         "model id \"{}\", expected ORG/NAME: an organization of letters, digits and single "
         "hyphens, a name of letters, digits, - _ and .",
         place.model_id);
  }
  if (!is_revision(place.revision)) {
    fail(ErrorCode::kInvalidArgument,
         "revision \"{}\", expected main or a version such as v1, 1.0.0 or 1.0.0-beta1",
         place.revision);
  }
}

bool hub_takes_file(std::string_view path) {
  const size_t name = path.rfind('/') + 1;  // npos + 1 is 0
  const size_t dot = path.find('.', name);
  if (dot != std::string_view::npos) {
    const std::string_view extension = path.substr(dot + 1);
    if (extension.size() < 2 || extension.size() > 4 ||
        !std::ranges::all_of(extension, is_letter)) {
      return false;
    }
    path = path.substr(0, dot);
  }
  for (size_t slash = path.find('/'); slash != std::string_view::npos; slash = path.find('/')) {
    if (!only_of(path.substr(0, slash), "-_")) {
      return false;
    }
    path.remove_prefix(slash + 1);
  }
  return only_of(path, "-_");
}

std::filesystem::path hub_folder(const std::filesystem::path& hub, const HubPlace& place) {
  return hub / place.model_id / place.revision;
}

}  // namespace lorapress
