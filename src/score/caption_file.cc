#include "score/caption_file.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "base/fail.h"
#include "base/file.h"
#include "base/json.h"
#include "score/caption_table.h"
#include "score/caption_tokens.h"

namespace lorapress {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxFile = uint64_t{512} << 20;

std::string last_part(std::string_view name) {
  const size_t slash = name.find_last_of("/\\");
  return std::string(slash == std::string_view::npos ? name : name.substr(slash + 1));
}

// Gathers captions, of which those of one image belong together.
class Gatherer {
 public:
  void add(const std::string& image,
           const std::string& number,
           const std::string& caption,
           bool replace,
           std::string_view where) {
    if (caption.size() > kMaxCaption) {
      fail(ErrorCode::kInvalidFile,
           "{}: a caption of {} bytes, expected at most {}",
           where,
           caption.size(),
           kMaxCaption);
    }
    if (image.empty() && number.empty()) {
      fail(ErrorCode::kInvalidFile, "{}: a caption without the name of its image", where);
    }
    const auto [place, is_new] =
        places_.emplace(image.empty() ? "#" + number : image, file.images.size());
    if (is_new) {
      file.images.push_back({image, number, {}});
    }
    std::vector<std::string>& captions = file.images[place->second].captions;
    if (replace) {
      captions.clear();
    }
    captions.push_back(caption);
  }

  CaptionFile file;

 private:
  std::map<std::string, size_t> places_;
};

// The first of the members that is there, as text; numbers are written out.
std::optional<std::string> text_of(const Json& object, std::span<const std::string_view> keys) {
  for (const std::string_view key : keys) {
    const auto found = object.find(key);
    if (found != object.end() && found->is_string()) {
      return found->get<std::string>();
    }
    if (found != object.end() && found->is_number_integer()) {
      return std::to_string(found->get<int64_t>());
    }
  }
  return std::nullopt;
}

// A text, a list of texts, or a list of objects with the text in "raw", "caption" or "text".
std::vector<std::string> texts_of(const Json& value, std::string_view where) {
  static constexpr std::array<std::string_view, 3> kInside = {"raw", "caption", "text"};
  std::vector<std::string> texts;
  const auto add = [&](const Json& one) {
    const std::optional<std::string> inside =
        one.is_object() ? text_of(one, kInside) : std::optional<std::string>();
    if (!one.is_string() && !inside) {
      fail(ErrorCode::kInvalidFile, "{}: a caption that is no text", where);
    }
    texts.push_back(inside ? *inside : one.get<std::string>());
  };
  if (value.is_array()) {
    std::ranges::for_each(value, add);
  } else {
    add(value);
  }
  return texts;
}

// {"image": ..., "text": ...} and its relatives.
void add_object(const Json& object, bool last_counts, std::string_view where, Gatherer& gatherer) {
  if (!object.is_object()) {
    fail(ErrorCode::kInvalidFile, "{}: expected an object with an image and its caption", where);
  }
  const std::string image = text_of(object, kImageColumns).value_or("");
  const auto id = object.find("image_id");
  const bool numbered = id != object.end() && id->is_number_integer();
  const auto caption = std::ranges::find_if(
      kCaptionColumns, [&](std::string_view key) { return object.contains(key); });
  if (caption == kCaptionColumns.end()) {
    if (!object.contains("error")) {
      fail(ErrorCode::kInvalidFile,
           "{}: no caption here; expected one of {}",
           where,
           fmt::join(kCaptionColumns, ", "));
    }
    ++gatherer.file.errors;
    return;
  }
  bool replace = last_counts;
  for (const std::string& text : texts_of(object.at(*caption), where)) {
    gatherer.add(
        numbered ? std::string() : image, numbered ? image : std::string(), text, replace, where);
    replace = false;
  }
}

void read_lines(std::string_view text, const fs::path& path, bool last_counts, Gatherer& gatherer) {
  int64_t number = 0;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    ++number;
    if (line.find_first_not_of(" \t\r") != std::string_view::npos) {
      const std::string where = fmt::format("{} line {}", path.string(), number);
      add_object(parse_json(line, where), last_counts, where, gatherer);
    }
  }
}

// COCO's annotations: "images" with "id" and "file_name", "annotations" with "image_id" and "caption".
void read_coco(const Json& json, const std::string& where, Gatherer& gatherer) {
  std::map<std::string, std::string> names;
  static constexpr std::array<std::string_view, 1> kId = {"id"};
  static constexpr std::array<std::string_view, 1> kImageId = {"image_id"};
  static constexpr std::array<std::string_view, 2> kName = {"file_name", "filename"};
  for (const Json& image : json.value("images", Json::array())) {
    const auto id = image.is_object() ? text_of(image, kId) : std::nullopt;
    if (!id) {
      fail(ErrorCode::kInvalidFile, "{}: images: an entry without \"id\"", where);
    }
    names[*id] = text_of(image, kName).value_or("");
  }
  size_t number = 0;
  for (const Json& annotation : json.at("annotations")) {
    const std::string at = fmt::format("{}: annotations {}", where, number++);
    const auto id = annotation.is_object() ? text_of(annotation, kImageId) : std::nullopt;
    if (!id || !annotation.contains("caption")) {
      fail(ErrorCode::kInvalidFile, "{}: expected \"image_id\" and \"caption\"", at);
    }
    const auto name = names.find(*id);
    for (const std::string& text : texts_of(annotation.at("caption"), at)) {
      gatherer.add(name == names.end() ? "" : name->second, *id, text, false, at);
    }
  }
}

// Karpathy's splits: "images" with "filename", "split", "sentences" of objects with "raw".
void read_karpathy(const Json& json,
                   const std::string& where,
                   const std::string& split,
                   Gatherer& gatherer) {
  static constexpr std::array<std::string_view, 2> kName = {"filename", "file_name"};
  static constexpr std::array<std::string_view, 2> kNumber = {"cocoid", "imgid"};
  static constexpr std::array<std::string_view, 1> kSplit = {"split"};
  size_t number = 0;
  bool known = split.empty();
  for (const Json& image : json.at("images")) {
    const std::string at = fmt::format("{}: images {}", where, number++);
    if (!image.is_object() || !image.contains("sentences")) {
      fail(ErrorCode::kInvalidFile, "{}: expected \"filename\" and \"sentences\"", at);
    }
    if (!split.empty() && text_of(image, kSplit) != split) {
      continue;
    }
    known = true;
    for (const std::string& text : texts_of(image.at("sentences"), at)) {
      gatherer.add(text_of(image, kName).value_or(""),
                   text_of(image, kNumber).value_or(""),
                   text,
                   false,
                   at);
    }
  }
  if (!known) {
    fail(ErrorCode::kInvalidArgument,
         "{}: no image of the split \"{}\" (options.split)",
         where,
         split);
  }
}

bool is_list(const Json& json, std::string_view key) {
  return json.is_object() && json.contains(key) && json.at(std::string(key)).is_array();
}

void read_document(const Json& json,
                   const std::string& where,
                   const std::string& split,
                   Gatherer& gatherer) {
  if (is_list(json, "annotations")) {
    read_coco(json, where, gatherer);
  } else if (is_list(json, "images") && !json.at("images").empty() &&
             json.at("images")[0].is_object() && json.at("images")[0].contains("sentences")) {
    read_karpathy(json, where, split, gatherer);
  } else {
    const Json& list = is_list(json, "captions") ? json.at("captions") : json;
    if (!list.is_array()) {
      fail(
          ErrorCode::kInvalidFile,
          "{}: expected COCO's \"annotations\", Karpathy's \"images\" with \"sentences\", or a list of captions",
          where);
    }
    size_t number = 0;
    for (const Json& entry : list) {
      add_object(entry, false, fmt::format("{}: entry {}", where, number++), gatherer);
    }
  }
}

bool begins_line_of_json(std::string_view text) {
  const size_t at = text.find_first_not_of(" \t\r\n");
  return at != std::string_view::npos && text[at] == '{';
}

}  // namespace

CaptionFile read_caption_file(const fs::path& path, const std::string& split, bool last_counts) {
  const std::string text = read_text(path, kMaxFile);
  const std::string where = path.string();
  Gatherer gatherer;
  std::string kind = path.extension().string();
  std::ranges::transform(kind, kind.begin(), [](char sign) {
    return sign >= 'A' && sign <= 'Z' ? static_cast<char>(sign + 32) : sign;
  });
  if (kind == ".jsonl" || (kind != ".json" && begins_line_of_json(text))) {
    read_lines(text, path, last_counts, gatherer);
  } else if (kind == ".json") {
    read_document(parse_json(text, where), where, split, gatherer);
  } else {
    for (const TableCaption& row : read_caption_table(text, where)) {
      gatherer.add(row.image, "", row.caption, false, fmt::format("{} line {}", where, row.line));
    }
  }
  if (gatherer.file.images.empty() && gatherer.file.errors == 0) {
    fail(ErrorCode::kInvalidFile, "{}: no captions in it", where);
  }
  return std::move(gatherer.file);
}

ImageIndex::ImageIndex(const std::vector<ImageCaptions>& images) {
  for (size_t i = 0; i < images.size(); ++i) {
    if (!images[i].image.empty()) {
      names_.emplace(images[i].image, i);
      last_parts_[last_part(images[i].image)].push_back(i);
    }
    if (!images[i].number.empty()) {
      numbers_.emplace(images[i].number, i);
    }
  }
}

size_t ImageIndex::find(std::string_view name, std::string_view number) const {
  const auto same = names_.find(name);
  if (!name.empty() && same != names_.end()) {
    return same->second;
  }
  const auto part = last_parts_.find(last_part(name));
  if (!name.empty() && part != last_parts_.end()) {
    if (part->second.size() > 1) {
      fail(ErrorCode::kMismatch,
           "{}: {} images are called {}; name them with the same folders in both files",
           name,
           part->second.size(),
           part->first);
    }
    return part->second[0];
  }
  const auto numbered = numbers_.find(number.empty() ? name : number);
  return numbered == numbers_.end() ? std::string_view::npos : numbered->second;
}

}  // namespace lorapress
