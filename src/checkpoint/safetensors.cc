#include "checkpoint/safetensors.h"

#include <algorithm>

#include "base/checked.h"
#include "base/fail.h"
#include "base/json.h"

namespace lorapress {
namespace {

constexpr uint64_t kMaxHeader = 100'000'000;  // as the reference implementation
constexpr size_t kMaxRank = 8;

struct Entry {
  std::string name;
  DType dtype;
  Shape shape;
  uint64_t begin;
  uint64_t end;
};

class Reader {
 public:
  explicit Reader(const std::filesystem::path& path) : file_(std::make_shared<InputFile>(path)) {}

  TensorMap read() {
    const Json header = read_header();
    std::vector<Entry> entries;
    for (const auto& [name, value] : header.items()) {
      if (name != "__metadata__") {
        entries.push_back(read_entry(name, value));
      } else if (!value.is_object() ||
                 !std::ranges::all_of(value, [](const Json& text) { return text.is_string(); })) {
        fail(ErrorCode::kInvalidFile, "{}: __metadata__ is not an object of strings", where());
      }
    }
    check_cover(entries);
    TensorMap tensors;
    for (Entry& entry : entries) {
      tensors[entry.name] =
          file_weight(entry.dtype, std::move(entry.shape), {file_, data_ + entry.begin});
    }
    return tensors;
  }

 private:
  [[nodiscard]] std::string where() const { return file_->path().string(); }

  Json read_header() {
    std::array<unsigned char, 8> raw{};
    if (file_->size() < raw.size()) {
      fail(ErrorCode::kInvalidFile,
           "{}: {} bytes, expected a safetensors file; an incomplete download?",
           where(),
           file_->size());
    }
    file_->read_at(0, std::as_writable_bytes(std::span(raw)));
    uint64_t length = 0;
    for (size_t i = raw.size(); i-- > 0;) {
      length = length << 8 | raw[i];
    }
    if (length > kMaxHeader || length > file_->size() - raw.size()) {
      fail(ErrorCode::kInvalidFile,
           "{}: the header claims {} bytes, the file has {}; not a safetensors file, or an "
           "incomplete download",
           where(),
           length,
           file_->size());
    }
    std::string text(static_cast<size_t>(length), '\0');
    file_->read_at(raw.size(), std::as_writable_bytes(std::span(text)));
    if (!text.starts_with('{')) {
      fail(ErrorCode::kInvalidFile,
           "{}: the header does not start with '{{', expected safetensors JSON",
           where());
    }
    data_ = raw.size() + length;
    Json header = parse_json(text, where());
    if (!header.is_object()) {
      fail(ErrorCode::kInvalidFile, "{}: the header is not a JSON object", where());
    }
    return header;
  }

  [[noreturn]] void bad_entry(const std::string& name, std::string_view what) const {
    fail(ErrorCode::kInvalidFile, "{}: tensor {}: {}", where(), name, what);
  }

  Entry read_entry(const std::string& name, const Json& value) const {
    const std::string at = where() + ": tensor " + name;
    const auto type_name = json_get<std::string>(value, "dtype", at);
    const auto dtype = dtype_from_safetensors(type_name);
    if (!dtype) {
      fail(ErrorCode::kUnsupported,
           "{}: dtype {} is not supported (F32, F16, BF16, F64 and integers are)",
           at,
           type_name);
    }
    Entry entry{name, *dtype, {}, 0, 0};
    const auto shape = value.find("shape");
    if (shape == value.end() || !shape->is_array() || shape->size() > kMaxRank) {
      bad_entry(name, "\"shape\" is not a list of at most 8 numbers");
    }
    for (const Json& dim : *shape) {
      if (!dim.is_number_unsigned() || dim.get<uint64_t>() > INT64_MAX) {
        bad_entry(name, "\"shape\" holds " + dim.dump() + ", expected whole numbers from 0 on");
      }
      entry.shape.push_back(dim.get<int64_t>());
    }
    const auto offsets = value.find("data_offsets");
    if (offsets == value.end() || !offsets->is_array() || offsets->size() != 2 ||
        !(*offsets)[0].is_number_unsigned() || !(*offsets)[1].is_number_unsigned()) {
      bad_entry(name, "\"data_offsets\" is not two whole numbers");
    }
    entry.begin = (*offsets)[0].get<uint64_t>();
    entry.end = (*offsets)[1].get<uint64_t>();
    check_entry(entry);
    return entry;
  }

  void check_entry(const Entry& entry) const {
    const auto elements = checked_product(entry.shape);
    const auto bytes = elements
                           ? checked_mul(static_cast<uint64_t>(*elements), dtype_size(entry.dtype))
                           : std::nullopt;
    if (!bytes || *bytes > INT64_MAX) {
      bad_entry(entry.name, fmt::format("shape [{}] is too large", fmt::join(entry.shape, ", ")));
    }
    const uint64_t available = file_->size() - data_;
    if (entry.begin > entry.end || entry.end > available) {
      bad_entry(entry.name,
                fmt::format(
                    "offsets [{}, {}] leave the data section of {} bytes; an incomplete download?",
                    entry.begin,
                    entry.end,
                    available));
    }
    if (entry.end - entry.begin != *bytes) {
      bad_entry(entry.name,
                fmt::format("{} [{}] takes {} bytes, the offsets [{}, {}] give {}",
                            dtype_row(entry.dtype).safetensors,
                            fmt::join(entry.shape, ", "),
                            *bytes,
                            entry.begin,
                            entry.end,
                            entry.end - entry.begin));
    }
  }

  void check_cover(std::vector<Entry>& entries) const {
    std::ranges::sort(
        entries, {}, [](const Entry& entry) { return std::pair(entry.begin, entry.end); });
    uint64_t next = 0;
    for (const Entry& entry : entries) {
      if (entry.begin != next) {
        bad_entry(entry.name,
                  fmt::format("starts at byte {} of the data, expected {}: tensors must neither "
                              "overlap nor leave gaps",
                              entry.begin,
                              next));
      }
      next = entry.end;
    }
    if (next != file_->size() - data_) {
      fail(ErrorCode::kInvalidFile,
           "{}: the tensors cover {} bytes of data, the file has {}",
           where(),
           next,
           file_->size() - data_);
    }
  }

  std::shared_ptr<const InputFile> file_;
  uint64_t data_ = 0;
};

}  // namespace

TensorMap open_safetensors(const std::filesystem::path& path) {
  return Reader(path).read();
}

std::string safetensors_header(const std::vector<NamedWeight>& tensors) {
  Json header = {{"__metadata__", {{"format", "pt"}}}};  // transformers refuses a file without it
  uint64_t offset = 0;
  for (const NamedWeight& tensor : tensors) {
    const uint64_t end = offset + tensor.weight->bytes();
    header[tensor.name] = {{"dtype", dtype_row(tensor.weight->dtype()).safetensors},
                           {"shape", tensor.weight->shape()},
                           {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  std::string length(8, '\0');
  for (size_t i = 0; i < length.size(); ++i) {
    length[i] = static_cast<char>(text.size() >> (8 * i) & 0xff);
  }
  return length + text;
}

}  // namespace lorapress
