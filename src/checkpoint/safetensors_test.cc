// Pairs of files that the reference reader (safetensors/src/tensor.rs) takes and refuses.
#include "checkpoint/safetensors.h"

#include <gtest/gtest.h>

#include "checkpoint_util.h"

namespace lorapress {
namespace {

using test::contains;
using test::message_of;
using test::safetensors_bytes;
using test::TempFolder;

struct Accepted {
  std::string header;
  size_t data;
  size_t tensors;
};

struct Refused {
  std::string header;
  size_t data;
  std::string reason;
  ErrorCode code = ErrorCode::kInvalidFile;
};

std::string entry(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}";
}

std::string one(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"a":)" + entry(dtype, shape, offsets) + "}";
}

std::string two(const std::string& first, const std::string& second) {
  return R"({"a":)" + entry("U8", "[4]", first) + R"(,"b":)" + entry("U8", "[4]", second) + "}";
}

TEST(Safetensors, TakesValidFiles) {
  const std::vector<Accepted> table{
      {"{}", 0, 0},
      {"{}      ", 0, 0},
      {R"({"__metadata__":{}})", 0, 0},
      {R"({"__metadata__":{"format":"pt","x":"y"}})", 0, 0},
      {one("F32", "[2]", "[0,8]"), 8, 1},
      {one("F32", "[2]", "[0,8]") + "   ", 8, 1},
      {one("F64", "[]", "[0,8]"), 8, 1},
      {one("BF16", "[3,0]", "[0,0]"), 0, 1},
      {one("BOOL", "[1,1,1,1,1,1,1,5]", "[0,5]"), 5, 1},
      {two("[0,4]", "[4,8]"), 8, 2},
      {two("[4,8]", "[0,4]"), 8, 2},
      {R"({"a":)" + entry("U8", "[0]", "[0,0]") + R"(,"b":)" + entry("U8", "[4]", "[0,4]") +
           R"(,"c":)" + entry("F16", "[0]", "[4,4]") + "}",
       4,
       3},
  };
  const TempFolder folder;
  for (const Accepted& row : table) {
    const auto path = folder / "a";
    std::filesystem::remove(path);
    write_text(path, safetensors_bytes(row.header, row.data));
    EXPECT_NO_THROW(EXPECT_EQ(open_safetensors(path).size(), row.tensors)) << row.header;
  }
}

const std::vector<Refused> kRefused{
    {"", 0, "does not start with '{'"},
    {" {}", 0, "does not start with '{'"},
    {"[]", 0, "does not start with '{'"},
    {"{", 0, "not valid JSON"},
    {"{}{}", 0, "not valid JSON"},
    {"{}", 1, "cover 0 bytes of data, the file has 1"},
    {R"({"__metadata__":{"a":1}})", 0, "__metadata__"},
    {R"({"__metadata__":["a"]})", 0, "__metadata__"},
    {R"({"a":1})", 0, "\"dtype\" is missing"},
    {R"({"a":null})", 0, "\"dtype\" is missing"},
    {R"({"a":{"shape":[1],"data_offsets":[0,1]}})", 1, "\"dtype\" is missing"},
    {R"({"a":{"dtype":1,"shape":[1],"data_offsets":[0,1]}})", 1, "expected a string"},
    {one("F8_E4M3", "[1]", "[0,1]"), 1, "F8_E4M3 is not supported", ErrorCode::kUnsupported},
    {R"({"a":{"dtype":"U8","data_offsets":[0,1]}})", 1, "\"shape\""},
    {R"({"a":{"dtype":"U8","shape":[1]}})", 1, "\"data_offsets\""},
    {one("U8", "1", "[0,1]"), 1, "\"shape\" is not a list"},
    {one("U8", "[1,1,1,1,1,1,1,1,1]", "[0,1]"), 1, "\"shape\" is not a list of at most 8"},
    {one("U8", "[-1]", "[0,1]"), 1, "holds -1"},
    {one("U8", "[1.0]", "[0,1]"), 1, "holds 1.0"},
    {one("U8", "[\"1\"]", "[0,1]"), 1, "expected whole numbers"},
    {one("U8", "[9223372036854775808]", "[0,1]"), 1, "expected whole numbers"},
    {one("U8", "[4294967296,4294967296]", "[0,0]"), 0, "too large"},
    {one("F64", "[2305843009213693952]", "[0,0]"), 0, "too large"},
    {one("U8", "[1]", "[0]"), 1, "is not two whole numbers"},
    {one("U8", "[1]", "[0,1,1]"), 1, "is not two whole numbers"},
    {one("U8", "[1]", "[-1,1]"), 1, "is not two whole numbers"},
    {one("U8", "[1]", "[0.0,1]"), 1, "is not two whole numbers"},
    {one("U8", "[1]", "{\"0\":0,\"1\":1}"), 1, "is not two whole numbers"},
    {one("U8", "[1]", "[1,0]"), 1, "leave the data section"},
    {one("U8", "[2]", "[0,2]"), 1, "leave the data section"},
    {one("U8", "[1]", "[0,18446744073709551615]"), 1, "leave the data section"},
    {one("F32", "[2]", "[0,4]"), 4, "takes 8 bytes"},
    {one("F32", "[1]", "[0,8]"), 8, "takes 4 bytes"},
    {one("F32", "[]", "[0,0]"), 0, "takes 4 bytes"},
    {one("U8", "[1]", "[1,2]"), 2, "expected 0"},
    {one("U8", "[1]", "[0,1]"), 2, "the file has 2"},
    {two("[0,4]", "[0,4]"), 4, "neither overlap nor leave gaps"},
    {two("[0,4]", "[3,7]"), 7, "neither overlap nor leave gaps"},
    {two("[0,4]", "[5,9]"), 9, "neither overlap nor leave gaps"},
    {R"({"a":)" + entry("U8", "[1]", "[0,1]") + R"(,"a":)" + entry("U8", "[1]", "[1,2]") + "}",
     2,
     "stands twice"},
};

TEST(Safetensors, RefusesBrokenFiles) {
  const TempFolder folder;
  for (const Refused& row : kRefused) {
    const auto path = folder / "a";
    std::filesystem::remove(path);
    write_text(path, safetensors_bytes(row.header, row.data));
    const std::string text = message_of(row.code, [&] { open_safetensors(path); });
    EXPECT_TRUE(contains(text, row.reason)) << row.header << ": " << text;
    EXPECT_TRUE(contains(text, path.string())) << text;
  }
}

TEST(Safetensors, RefusesACutFileAtEveryByte) {
  const TempFolder folder;
  const std::string whole = safetensors_bytes(one("F32", "[2]", "[0,8]"), 8);
  for (size_t size = 0; size < whole.size(); ++size) {
    const auto path = folder / "a";
    std::filesystem::remove(path);
    write_text(path, whole.substr(0, size));
    message_of(ErrorCode::kInvalidFile, [&] { open_safetensors(path); });
  }
  message_of(ErrorCode::kNotFound, [&] { open_safetensors(folder / "none"); });
  for (const uint64_t length : {uint64_t{100'000'001}, UINT64_MAX, UINT64_MAX - 7}) {
    std::string bytes = whole;
    for (size_t i = 0; i < 8; ++i) {
      bytes[i] = static_cast<char>(length >> (8 * i) & 0xff);
    }
    const auto path = folder / std::to_string(length);
    write_text(path, bytes);
    message_of(ErrorCode::kInvalidFile, [&] { open_safetensors(path); });
  }
}

TEST(Safetensors, ReadsWhatItWrites) {
  const TempFolder folder;
  test::Random random(1);
  std::vector<NamedWeight> tensors;
  const std::vector<Shape> shapes{{}, {3}, {2, 5}, {0, 4}, {2, 1, 3}};
  for (const DTypeRow& row : kDTypes) {
    for (const Shape& shape : shapes) {
      const uint64_t bytes = zeros(row.dtype, shape)->bytes();
      tensors.push_back({std::string(row.name) + "\"\\\u00e9" + std::to_string(tensors.size()),
                         constant_weight(row.dtype, shape, random.bytes(bytes))});
    }
  }
  test::write_safetensors(folder / "a", tensors);
  const TensorMap read = open_safetensors(folder / "a");
  ASSERT_EQ(read.size(), tensors.size());
  for (const auto& [name, weight] : tensors) {
    const WeightPtr& found = read.at(name);
    EXPECT_EQ(found->dtype(), weight->dtype());
    EXPECT_EQ(found->shape(), weight->shape());
    std::vector<std::byte> expected(weight->bytes());
    std::vector<std::byte> got(found->bytes());
    read_bytes(*weight, 0, expected);
    read_bytes(*found, 0, got);
    EXPECT_EQ(got, expected) << name;
  }
}

TEST(Safetensors, HeaderIsAlignedAndSaysPt) {
  for (size_t length = 1; length < 10; ++length) {
    const std::string header =
        safetensors_header({{std::string(length, 'n'), zeros(DType::kF32, {2})}});
    EXPECT_EQ(header.size() % 8, 0U);
    EXPECT_EQ(header[8], '{');
    const Json json = parse_json(header.substr(8), "header");
    EXPECT_EQ(json["__metadata__"]["format"], "pt");  // transformers refuses a file without it
  }
}

}  // namespace
}  // namespace lorapress
