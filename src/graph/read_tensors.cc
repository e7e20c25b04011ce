#include "graph/read_tensors.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>

#include "base/checked.h"
#include "base/fail.h"

namespace lorapress {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxInline = uint64_t{64} << 20;

// Bits of an element of the types that no Weight has; 0: not known here.
uint64_t element_bits(int data_type) {
  using T = onnx::TensorProto;
  switch (data_type) {
    case T::UINT16:
      return 16;
    case T::UINT32:
      return 32;
    case T::UINT64:
    case T::COMPLEX64:
      return 64;
    case T::COMPLEX128:
      return 128;
    case T::FLOAT8E4M3FN:
    case T::FLOAT8E4M3FNUZ:
    case T::FLOAT8E5M2:
    case T::FLOAT8E5M2FNUZ:
    case T::FLOAT8E8M0:
      return 8;
    case T::UINT4:
    case T::INT4:
    case T::FLOAT4E2M1:
      return 4;
    default:
      return 0;
  }
}

template <typename Unit, typename Values>
std::vector<std::byte> packed(const Values& values) {
  std::vector<std::byte> bytes(static_cast<size_t>(values.size()) * sizeof(Unit));
  size_t at = 0;
  for (const auto value : values) {
    const auto unit = static_cast<Unit>(value);
    std::memcpy(bytes.data() + at, &unit, sizeof(Unit));
    at += sizeof(Unit);
  }
  return bytes;
}

// The typed field that belongs to the dtype, as onnx/onnx.proto says; float16 and bfloat16 are bit
// patterns in int32_data.
std::vector<std::byte> typed_bytes(const onnx::TensorProto& tensor, DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return packed<float>(tensor.float_data());
    case DType::kF64:
      return packed<double>(tensor.double_data());
    case DType::kI64:
      return packed<int64_t>(tensor.int64_data());
    default:
      switch (dtype_size(dtype)) {
        case 1:
          return packed<uint8_t>(tensor.int32_data());
        case 2:
          return packed<uint16_t>(tensor.int32_data());
        default:
          return packed<int32_t>(tensor.int32_data());
      }
  }
}

bool inside(const fs::path& file, const fs::path& folder) {
  const fs::path relative = file.lexically_relative(folder);
  return !relative.empty() && *relative.begin() != "..";
}

}  // namespace

std::string shown(const std::string& name) {
  constexpr size_t kMost = 120;
  std::string text = name.substr(0, kMost);
  text += name.size() > kMost ? "..." : "";
  std::ranges::replace_if(
      text, [](char letter) { return static_cast<unsigned char>(letter) < ' '; }, '?');
  return text.empty() ? "(without a name)" : text;
}

template <typename... Args>
void TensorReader::refuse(const onnx::TensorProto& tensor,
                          fmt::format_string<Args...> format,
                          Args&&... args) const {
  fail(ErrorCode::kInvalidFile,
       "{}: tensor {}: {}",
       path().string(),
       shown(tensor.name()),
       fmt::format(format, std::forward<Args>(args)...));
}

std::vector<fs::path> TensorReader::files() const {
  std::vector<fs::path> files{file_->path()};
  for (const auto& [location, file] : external_) {
    files.push_back(file->path());
  }
  return files;
}

// Symbolic links may lead anywhere, so the resolved path decides: it must be inside the model's
// folder or, where the model itself is a link as in a cache of blobs, inside the folder of the
// link's target.
std::shared_ptr<const InputFile> TensorReader::open(const onnx::TensorProto& tensor,
                                                    const std::string& location) {
  const auto known = external_.find(location);
  if (known != external_.end()) {
    return known->second;
  }
  const fs::path relative(location);
  bool good = !location.empty() && !relative.has_root_path() && relative.has_filename() &&
              relative.filename() != "." &&
              location.find_first_of(std::string_view("\\\0", 2)) == std::string::npos;
  for (const fs::path& part : relative) {
    good = good && part != "..";
  }
  if (!good) {
    refuse(tensor,
           "its external data is at \"{}\", expected a path inside the model's folder",
           shown(location));
  }
  const fs::path folder = fs::absolute(path()).parent_path();
  const fs::path file = folder / relative;
  if (!fs::exists(file)) {
    fail(ErrorCode::kNotFound,
         "{}: tensor {}: its external data file {} is missing; it belongs beside the model",
         path().string(),
         shown(tensor.name()),
         file.string());
  }
  const fs::path real = fs::canonical(file);
  if (!inside(real, fs::canonical(folder)) && !inside(real, fs::canonical(path()).parent_path())) {
    refuse(tensor,
           "its external data \"{}\" is a link that leaves the model's folder",
           shown(location));
  }
  return external_[location] = std::make_shared<const InputFile>(file);
}

TensorReader::Place TensorReader::external(const onnx::TensorProto& tensor) {
  std::string location;
  uint64_t offset = 0;
  std::optional<uint64_t> length;
  for (const auto& entry : tensor.external_data()) {
    uint64_t number = 0;
    if (entry.key() == "location") {
      location = entry.value();
    } else if (entry.key() == "offset" || entry.key() == "length") {
      const char* end = entry.value().data() + entry.value().size();
      const auto result = std::from_chars(entry.value().data(), end, number);
      if (result.ec != std::errc{} || result.ptr != end) {
        refuse(tensor,
               "the {} of its external data is \"{}\", expected a number",
               entry.key(),
               shown(entry.value()));
      }
      (entry.key() == "offset" ? offset : length.emplace()) = number;
    }
  }
  const auto file = open(tensor, location);
  if (offset > file->size() || (length && *length > file->size() - offset)) {
    refuse(tensor,
           "its external data ends at byte {} of {}, which has {} bytes; an incomplete download?",
           checked_add(offset, length.value_or(0)).value_or(UINT64_MAX),
           file->path().string(),
           file->size());
  }
  return {file, offset, length.value_or(file->size() - offset)};
}

std::optional<TensorReader::Place> TensorReader::place(const onnx::TensorProto& tensor) {
  if (tensor.has_segment()) {
    refuse(tensor, "is stored in segments, which nothing writes");
  }
  if (tensor.data_location() == onnx::TensorProto::EXTERNAL) {
    return external(tensor);
  }
  if (!tensor.has_doc_string()) {
    return std::nullopt;
  }
  const TensorContent& content = contents_.at(std::stoul(tensor.doc_string()));
  const int expected = content.field == kFloatData    ? onnx::TensorProto::FLOAT
                       : content.field == kDoubleData ? onnx::TensorProto::DOUBLE
                                                      : tensor.data_type();
  if (tensor.data_type() != expected) {
    refuse(tensor, "its numbers are in the field of another type");
  }
  return Place{file_, content.begin, content.bytes};
}

WeightPtr TensorReader::weight(onnx::TensorProto& tensor) {
  const auto dtype = dtype_from_onnx(tensor.data_type());
  const Shape shape(tensor.dims().begin(), tensor.dims().end());
  const auto elements = checked_product(shape);
  const auto bytes =
      elements ? checked_mul(static_cast<uint64_t>(*elements), dtype ? dtype_size(*dtype) : 16)
               : std::nullopt;
  constexpr size_t kMaxRank = 64;
  if (!bytes || shape.size() > kMaxRank) {
    refuse(tensor, "impossible shape [{}]", shown(fmt::format("{}", fmt::join(shape, ", "))));
  }
  if (!dtype) {
    restore(tensor);
    return nullptr;
  }
  const auto check = [&](uint64_t found) {
    if (found != *bytes) {
      refuse(tensor,
             "{} [{}] takes {} bytes, but there are {}",
             dtype_name(*dtype),
             fmt::join(shape, ", "),
             *bytes,
             found);
    }
  };
  if (auto found = place(tensor)) {
    // Without a length the file may continue behind the tensor.
    const bool open_end = std::ranges::none_of(
        tensor.external_data(), [](const auto& entry) { return entry.key() == "length"; });
    const bool external = tensor.data_location() == onnx::TensorProto::EXTERNAL;
    check(external && open_end ? std::min(found->bytes, *bytes) : found->bytes);
    return file_weight(*dtype, shape, {found->file, found->offset});
  }
  std::vector<std::byte> content;
  if (tensor.has_raw_data()) {
    const auto raw = std::as_bytes(std::span(tensor.raw_data()));
    content.assign(raw.begin(), raw.end());
  } else {
    content = typed_bytes(tensor, *dtype);
  }
  check(content.size());
  return constant_weight(*dtype, shape, std::move(content));
}

void TensorReader::restore(onnx::TensorProto& tensor) {
  const auto elements =
      checked_product({tensor.dims().data(), static_cast<size_t>(tensor.dims_size())});
  if (!elements) {
    refuse(tensor, "impossible shape");
  }
  if (const auto found = place(tensor)) {
    if (found->bytes > kMaxInline) {
      refuse(tensor, "{} bytes of a type that is no weight, expected at most 64 MiB", found->bytes);
    }
    std::string* raw = tensor.mutable_raw_data();
    raw->resize(static_cast<size_t>(found->bytes));
    found->file->read_at(found->offset, std::as_writable_bytes(std::span(*raw)));
    tensor.clear_external_data();
    tensor.clear_data_location();
  }
  tensor.clear_doc_string();
  const auto dtype = dtype_from_onnx(tensor.data_type());
  const uint64_t bits = dtype ? dtype_size(*dtype) * 8 : element_bits(tensor.data_type());
  const auto all = checked_mul(static_cast<uint64_t>(*elements), bits);
  if (tensor.has_raw_data() && bits != 0 &&
      (!all || *all / 8 + (*all % 8 != 0) != tensor.raw_data().size())) {
    refuse(tensor,
           "{} elements of onnx type {} do not fit its {} bytes",
           *elements,
           tensor.data_type(),
           tensor.raw_data().size());
  }
}

}  // namespace lorapress
