// The tables that others index by enum value, and the checked arithmetic.
#include <gtest/gtest.h>
#include <set>
#include <string_view>

#include "lorapress/error.h"

#include "base/checked.h"
#include "base/dtype.h"
#include "base/sha256.h"

namespace lorapress {
namespace {

TEST(DTypeTable, RowsStandAtTheirEnumValue) {
  for (size_t i = 0; i < kDTypes.size(); ++i) {
    EXPECT_EQ(static_cast<size_t>(kDTypes[i].dtype), i) << kDTypes[i].name;
  }
  EXPECT_EQ(static_cast<size_t>(DType::kBool) + 1, kDTypes.size());  // kBool is the last
}

TEST(DTypeTable, NamesAndNumbersAreUniqueAndFoundAgain) {
  std::set<std::string_view> names;
  std::set<int> numbers;
  for (const DTypeRow& row : kDTypes) {
    EXPECT_TRUE(names.insert(row.name).second) << row.name;
    EXPECT_TRUE(names.insert(row.safetensors).second) << row.safetensors;
    EXPECT_TRUE(numbers.insert(row.onnx).second) << row.name;
    EXPECT_EQ(dtype_from_safetensors(row.safetensors), row.dtype);
    EXPECT_EQ(dtype_from_onnx(row.onnx), row.dtype);
    EXPECT_EQ(dtype_size(row.dtype), row.size);
    EXPECT_EQ(dtype_name(row.dtype), row.name);
  }
  EXPECT_EQ(dtype_from_safetensors("f32"), std::nullopt);
  EXPECT_EQ(dtype_from_safetensors("F8_E4M3"), std::nullopt);
  EXPECT_EQ(dtype_from_safetensors(""), std::nullopt);
  EXPECT_EQ(dtype_from_onnx(0), std::nullopt);
  EXPECT_EQ(dtype_from_onnx(8), std::nullopt);  // strings
}

TEST(DTypeTable, SizesFollowTheNames) {
  for (const DTypeRow& row : kDTypes) {
    const size_t digits = row.safetensors.find_first_of("0123456789");
    const size_t bits = digits == std::string_view::npos
                            ? 8
                            : std::stoul(std::string(row.safetensors.substr(digits)));
    EXPECT_EQ(row.size * 8, bits) << row.name;
    EXPECT_EQ(row.is_float, row.name.find("float") != std::string_view::npos) << row.name;
  }
}

TEST(ErrorTable, RowsStandAtTheirEnumValue) {
  std::set<std::string_view> names;
  for (size_t i = 0; i < kErrorCodes.size(); ++i) {
    EXPECT_EQ(static_cast<size_t>(kErrorCodes[i].code), i);
    EXPECT_TRUE(names.insert(kErrorCodes[i].name).second) << kErrorCodes[i].name;
    EXPECT_EQ(Error(kErrorCodes[i].code, "x").code_name(), kErrorCodes[i].name);
  }
  EXPECT_EQ(static_cast<size_t>(ErrorCode::kRuntime) + 1, kErrorCodes.size());  // the last
}

TEST(Checked, AddStopsAtTheEdge) {
  EXPECT_EQ(checked_add(UINT64_MAX - 1, 1), UINT64_MAX);
  EXPECT_EQ(checked_add(UINT64_MAX, 0), UINT64_MAX);
  EXPECT_EQ(checked_add(UINT64_MAX, 1), std::nullopt);
  EXPECT_EQ(checked_add(UINT64_MAX, UINT64_MAX), std::nullopt);
}

TEST(Checked, MulStopsAtTheEdge) {
  constexpr uint64_t kHalf = uint64_t{1} << 32;
  EXPECT_EQ(checked_mul(kHalf, kHalf - 1), kHalf * (kHalf - 1));
  EXPECT_EQ(checked_mul(kHalf, kHalf), std::nullopt);
  EXPECT_EQ(checked_mul(UINT64_MAX, 1), UINT64_MAX);
  EXPECT_EQ(checked_mul(UINT64_MAX, 2), std::nullopt);
  EXPECT_EQ(checked_mul(UINT64_MAX, 0), uint64_t{0});
}

TEST(Checked, ProductStopsAtTheEdge) {
  const auto product = [](std::initializer_list<int64_t> dims) {
    return checked_product({dims.begin(), dims.size()});
  };
  EXPECT_EQ(product({}), 1);
  EXPECT_EQ(product({7}), 7);
  EXPECT_EQ(product({3, 0, 5}), 0);
  EXPECT_EQ(product({INT64_MAX, 1}), INT64_MAX);
  EXPECT_EQ(product({int64_t{1} << 31, int64_t{1} << 31}), int64_t{1} << 62);
  EXPECT_EQ(product({int64_t{1} << 31, int64_t{1} << 32}), std::nullopt);
  EXPECT_EQ(product({INT64_MAX, 2}), std::nullopt);
  EXPECT_EQ(product({-1}), std::nullopt);
  EXPECT_EQ(product({0, -1}), std::nullopt);
}

TEST(Sha256, GivesTheVectorsOfFips180) {
  const auto digest = [](std::string_view text) {
    return sha256_hex(std::as_bytes(std::span(text)));
  };
  EXPECT_EQ(digest(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(digest("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(digest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

}  // namespace
}  // namespace lorapress
