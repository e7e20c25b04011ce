// Blocks of every view against content that was worked out the slow way.
#include "weights/weight.h"

#include <cstring>
#include <gtest/gtest.h>
#include <memory>

#include "base/convert.h"
#include "test_util.h"

namespace lorapress {
namespace {

using test::message_of;
using test::Random;
using test::TempFolder;
using Bytes = std::vector<std::byte>;

struct Sample {
  WeightPtr weight;
  Bytes content;
};

Bytes cut(const Weight& weight, const Bytes& content, const Block& block) {
  const size_t size = dtype_size(weight.dtype());
  Bytes out;
  for (int64_t row = block.row; row < block.row + block.rows; ++row) {
    const auto from = static_cast<size_t>(row * weight.cols() + block.col) * size;
    const auto begin = content.begin() + static_cast<ptrdiff_t>(from);
    out.insert(
        out.end(), begin, begin + static_cast<ptrdiff_t>(static_cast<size_t>(block.cols) * size));
  }
  return out;
}

Block random_block(const Weight& weight, Random& random) {
  const int64_t row = random.below(weight.rows());
  const int64_t col = random.below(weight.cols());
  const bool whole = random.below(3) == 0;  // whole rows have paths of their own
  return {row,
          random.between(1, weight.rows() - row),
          whole ? 0 : col,
          whole ? weight.cols() : random.between(1, weight.cols() - col)};
}

void expect_block(const Sample& sample, const Block& block) {
  const Weight& weight = *sample.weight;
  const Bytes expected = cut(weight, sample.content, block);
  Bytes even(expected.size());
  weight.read(block, even);
  ASSERT_EQ(even, expected) << block.row << "+" << block.rows << ", " << block.col << "+"
                            << block.cols;
  if (dtype_row(weight.dtype()).is_float) {
    std::vector<float> floats(block.elements());
    std::vector<float> wanted(block.elements());
    weight.read_floats(block, floats);
    to_float32(weight.dtype(), expected, wanted);
    ASSERT_EQ(std::memcmp(floats.data(), wanted.data(), 4 * floats.size()), 0);
  }
  // In a file, a weight may start at any byte.
  Bytes odd(expected.size() + 2, std::byte{0x5a});
  weight.read(block, std::span(odd).subspan(1, expected.size()));
  ASSERT_TRUE(std::equal(expected.begin(), expected.end(), odd.begin() + 1));
  ASSERT_EQ(odd.front(), std::byte{0x5a});
  ASSERT_EQ(odd.back(), std::byte{0x5a});
}

void expect_content(const Sample& sample, uint32_t seed) {
  const Weight& weight = *sample.weight;
  ASSERT_EQ(weight.bytes(), sample.content.size());
  Random random(seed);
  expect_block(sample, {0, weight.rows(), 0, weight.cols()});
  for (int i = 0; i < 80; ++i) {
    expect_block(sample, random_block(weight, random));
  }
  const auto total = static_cast<int64_t>(weight.bytes());
  for (int i = 0; i < 80; ++i) {
    const auto offset = static_cast<size_t>(random.below(total + 1));
    const auto count = static_cast<size_t>(random.between(0, total - static_cast<int64_t>(offset)));
    Bytes out(count);
    read_bytes(weight, offset, out);
    ASSERT_TRUE(
        std::equal(out.begin(), out.end(), sample.content.begin() + static_cast<ptrdiff_t>(offset)))
        << offset << "+" << count;
  }
}

size_t bytes_of(DType dtype, const Shape& shape) {
  size_t count = dtype_size(dtype);
  for (const int64_t dim : shape) {
    count *= static_cast<size_t>(dim);
  }
  return count;
}

// Finite values, so that comparing floats is comparing bytes.
Bytes random_content(DType dtype, const Shape& shape, Random& random) {
  const size_t bytes = bytes_of(dtype, shape);
  if (!dtype_row(dtype).is_float) {
    return random.bytes(bytes);
  }
  Bytes content(bytes);
  from_float32(dtype, random.numbers(bytes / dtype_size(dtype), 3.0F), content);
  return content;
}

Sample constant_sample(DType dtype, const Shape& shape, uint32_t seed) {
  Random random(seed);
  Bytes content = random_content(dtype, shape, random);
  return {constant_weight(dtype, shape, content), content};
}

Sample file_sample(const TempFolder& folder, DType dtype, const Shape& shape, uint32_t seed) {
  Random random(seed);
  const Bytes content = random_content(dtype, shape, random);
  const uint64_t offset = 11;
  const auto path = folder / ("f" + std::to_string(seed));
  OutputFile file(path, offset + content.size() + 3);
  file.write_at(offset, content);
  file.close();
  auto input = std::make_shared<InputFile>(path);
  return {file_weight(dtype, shape, {std::move(input), offset}), content};
}

Sample transposed_sample(const Sample& sample) {
  const Weight& from = *sample.weight;
  const size_t size = dtype_size(from.dtype());
  Bytes content(sample.content.size());
  for (int64_t row = 0; row < from.rows(); ++row) {
    for (int64_t col = 0; col < from.cols(); ++col) {
      std::memcpy(&content[static_cast<size_t>(col * from.rows() + row) * size],
                  &sample.content[static_cast<size_t>(row * from.cols() + col) * size],
                  size);
    }
  }
  return {transpose(sample.weight), content};
}

Sample cast_sample(const Sample& sample, DType to) {
  std::vector<float> values(sample.content.size() / dtype_size(sample.weight->dtype()));
  to_float32(sample.weight->dtype(), sample.content, values);
  Bytes content(values.size() * dtype_size(to));
  from_float32(to, values, content);
  return {cast(sample.weight, to), content};
}

Sample joined_sample(const std::vector<Sample>& samples) {
  std::vector<WeightPtr> weights;
  Bytes content;
  for (const Sample& sample : samples) {
    weights.push_back(sample.weight);
    content.insert(content.end(), sample.content.begin(), sample.content.end());
  }
  return {concat_rows(std::move(weights)), content};
}

const std::vector<Shape> kShapes{
    {}, {1}, {7}, {1, 1}, {5, 9}, {9, 1}, {3, 4, 5}, {2, 3, 2, 2}, {150, 700}};

TEST(FileWeight, GivesItsBlocks) {
  const TempFolder folder;
  uint32_t seed = 0;
  for (const DTypeRow& row : kDTypes) {
    for (const Shape& shape : kShapes) {
      ++seed;
      expect_content(file_sample(folder, row.dtype, shape, seed), seed);
    }
  }
}

TEST(FileWeight, ReportsAFileThatGotShorter) {
  const TempFolder folder;
  const Sample sample = file_sample(folder, DType::kF32, {10, 10}, 1);
  std::filesystem::resize_file(folder / "f1", 100);
  Bytes out(400);
  message_of(ErrorCode::kInvalidFile, [&] { sample.weight->read({0, 10, 0, 10}, out); });
  message_of(ErrorCode::kInvalidFile,
             [&] { sample.weight->read({0, 10, 9, 1}, std::span(out).first(40)); });
}

TEST(ConstantWeight, GivesItsBlocks) {
  uint32_t seed = 100;
  for (const Shape& shape : kShapes) {
    ++seed;
    expect_content(constant_sample(DType::kF32, shape, seed), seed);
    expect_content(constant_sample(DType::kI8, shape, seed), seed);
  }
  message_of(ErrorCode::kInvalidArgument, [] { constant_weight(DType::kF32, {2, 2}, Bytes(15)); });
  EXPECT_EQ(read_all_float32(*float_constant({2}, std::vector<float>{1.5F, -2.0F})),
            (std::vector<float>{1.5F, -2.0F}));
}

TEST(ZeroWeight, TakesNoMemoryAndIsZero) {
  expect_content({zeros(DType::kF16, {5, 6}), Bytes(60)}, 1);
  const WeightPtr huge = zeros(DType::kF32, {int64_t{1} << 24, int64_t{1} << 24});
  EXPECT_EQ(huge->bytes(), uint64_t{1} << 50);
  Bytes out(12, std::byte{1});
  read_bytes(*huge, (uint64_t{1} << 49) + 5, out);
  EXPECT_EQ(out, Bytes(12));
}

TEST(Weight, HasAMatrixView) {
  const auto view = [](const Shape& shape) {
    const WeightPtr weight = zeros(DType::kF32, shape);
    return std::pair(weight->rows(), weight->cols());
  };
  EXPECT_EQ(view({}), std::pair(int64_t{1}, int64_t{1}));
  EXPECT_EQ(view({7}), std::pair(int64_t{1}, int64_t{7}));
  EXPECT_EQ(view({3, 4, 5}), std::pair(int64_t{3}, int64_t{20}));
  EXPECT_EQ(view({0, 5}), std::pair(int64_t{0}, int64_t{5}));
  EXPECT_EQ(zeros(DType::kF64, {0, 5})->bytes(), 0U);
  for (const Shape& bad :
       {Shape{-1}, Shape{2, -3}, Shape{INT64_MAX, 2}, Shape{int64_t{1} << 40, 1 << 20, 1 << 20}}) {
    message_of(ErrorCode::kInvalidFile, [&] { zeros(DType::kU8, bad); });
  }
}

TEST(CastWeight, ConvertsItsBlocks) {
  const TempFolder folder;
  uint32_t seed = 200;
  for (const DType from : {DType::kF32, DType::kF16, DType::kBF16, DType::kF64}) {
    for (const DType to : {DType::kF32, DType::kF16, DType::kBF16, DType::kF64}) {
      ++seed;
      expect_content(cast_sample(file_sample(folder, from, {17, 33}, seed), to), seed);
    }
  }
  const Sample same = constant_sample(DType::kF16, {3, 3}, 1);
  EXPECT_EQ(cast(same.weight, DType::kF16), same.weight);
}

TEST(TransposedWeight, TurnsItsBlocks) {
  const TempFolder folder;
  uint32_t seed = 300;
  for (const DType dtype : {DType::kU8, DType::kBF16, DType::kF32, DType::kF64}) {
    for (const Shape& shape :
         {Shape{1, 1}, Shape{1, 40}, Shape{40, 1}, Shape{33, 65}, Shape{70, 31}}) {
      const Sample transposed = transposed_sample(file_sample(folder, dtype, shape, ++seed));
      EXPECT_EQ(transposed.weight->shape(), (Shape{shape[1], shape[0]}));
      expect_content(transposed, seed);
    }
  }
}

TEST(ReshapedWeight, KeepsItsBytes) {
  const TempFolder folder;
  uint32_t seed = 400;
  for (const Shape& shape :
       {Shape{60}, Shape{60, 1}, Shape{1, 60}, Shape{4, 15}, Shape{5, 3, 2, 2}}) {
    Sample flat = file_sample(folder, DType::kF32, {12, 5}, ++seed);
    EXPECT_EQ(flat.weight->extent()->offset, 11U);
    const WeightPtr plain = flat.weight;
    flat.weight = reshape(plain, shape);
    EXPECT_EQ(flat.weight->shape(), shape);
    EXPECT_EQ(flat.weight->extent()->offset, 11U);
    EXPECT_EQ(flat.weight->extent()->file, plain->extent()->file);
    expect_content(flat, seed);
    Sample transposed = transposed_sample(constant_sample(DType::kF16, {12, 5}, seed));
    transposed.weight = reshape(transposed.weight, shape);
    EXPECT_FALSE(transposed.weight->extent());
    expect_content(transposed, seed);
  }
  const Sample same = constant_sample(DType::kF32, {4, 5}, 1);
  EXPECT_EQ(reshape(same.weight, {4, 5}), same.weight);
  message_of(ErrorCode::kMismatch, [&] { reshape(same.weight, {4, 4}); });
}

TEST(ConcatWeight, JoinsRows) {
  const TempFolder folder;
  const Sample joined = joined_sample({file_sample(folder, DType::kF32, {3, 7}, 1),
                                       constant_sample(DType::kF32, {1, 7}, 2),
                                       file_sample(folder, DType::kF32, {6, 7}, 3)});
  EXPECT_EQ(joined.weight->shape(), (Shape{10, 7}));
  EXPECT_FALSE(joined.weight->extent());
  expect_content(joined, 1);
}

TEST(ConcatWeight, JoinsVectors) {
  const Sample joined = joined_sample({constant_sample(DType::kBF16, {3}, 1),
                                       constant_sample(DType::kBF16, {1}, 2),
                                       constant_sample(DType::kBF16, {8}, 3)});
  EXPECT_EQ(joined.weight->shape(), Shape{12});
  expect_content(joined, 1);
  const Sample one = constant_sample(DType::kF32, {3}, 1);
  EXPECT_EQ(concat_rows({one.weight}), one.weight);
}

TEST(ConcatWeight, RefusesWhatDoesNotJoin) {
  const WeightPtr base = zeros(DType::kF32, {2, 3});
  message_of(ErrorCode::kMismatch, [&] { concat_rows({base, zeros(DType::kF32, {2, 4})}); });
  message_of(ErrorCode::kMismatch, [&] { concat_rows({base, zeros(DType::kF16, {2, 3})}); });
}

// As the attention blocks nest them: joined parts of several dtypes, cast, transposed, joined again.
TEST(NestedViews, GiveTheirBlocks) {
  const TempFolder folder;
  const Sample q = cast_sample(file_sample(folder, DType::kF16, {24, 40}, 1), DType::kF32);
  const Sample k = file_sample(folder, DType::kF32, {8, 40}, 2);
  const Sample v = cast_sample(constant_sample(DType::kBF16, {8, 40}, 3), DType::kF32);
  const Sample packed = joined_sample({q, k, v});
  expect_content(packed, 1);
  const Sample transposed = transposed_sample(packed);
  expect_content(transposed, 2);
  expect_content(transposed_sample(transposed), 3);
  expect_content(cast_sample(transposed, DType::kF16), 4);
  Sample flat = cast_sample(joined_sample({transposed, transposed}), DType::kBF16);
  flat.weight = reshape(flat.weight, {8, 10, 40});
  expect_content(flat, 5);
}

TEST(Weight, NamesAllItsSources) {
  const WeightPtr a = zeros(DType::kF32, {3, 5});
  const WeightPtr b = float_constant({1, 5}, std::vector<float>(5, 1.0F));
  const WeightPtr joined = concat_rows({a, b});
  ASSERT_EQ(joined->sources().size(), 2U);
  EXPECT_EQ(joined->sources()[0], a);
  EXPECT_EQ(joined->sources()[1], b);
  EXPECT_EQ(&root_of(*cast(transpose(joined), DType::kF16)), a.get());
  EXPECT_TRUE(a->sources().empty());
}

TEST(Weight, IsTheSameWhereStepsAndSourcesAre) {
  const TempFolder folder;
  const WeightPtr file = file_sample(folder, DType::kF32, {6, 4}, 1).weight;
  const WeightPtr again = file_weight(DType::kF32, {6, 4}, *file->extent());
  const WeightPtr later =
      file_weight(DType::kF32, {6, 4}, {file->extent()->file, file->extent()->offset - 4});
  const WeightPtr other = file_sample(folder, DType::kF32, {6, 4}, 2).weight;
  const std::vector<WeightPtr (*)(WeightPtr)> steps{
      [](WeightPtr w) { return w; },
      [](WeightPtr w) { return cast(std::move(w), DType::kF16); },
      [](WeightPtr w) { return cast(std::move(w), DType::kBF16); },
      [](WeightPtr w) { return transpose(std::move(w)); },
      [](WeightPtr w) { return reshape(std::move(w), {24}); },
      [](WeightPtr w) { return concat_rows({w, float_constant({1, 4}, std::vector(4, 2.0F))}); },
      [](WeightPtr w) { return concat_rows({w, float_constant({1, 4}, std::vector(4, 3.0F))}); }};
  for (size_t i = 0; i < steps.size(); ++i) {
    EXPECT_TRUE(steps[i](file)->same_as(*steps[i](again))) << i;
    EXPECT_FALSE(steps[i](file)->same_as(*steps[i](later))) << i;
    EXPECT_FALSE(steps[i](file)->same_as(*steps[i](other))) << i;
    for (size_t j = 0; j < steps.size(); ++j) {
      EXPECT_EQ(steps[i](file)->same_as(*steps[j](file)), i == j) << i << " " << j;
    }
  }
  EXPECT_TRUE(zeros(DType::kF32, {2})->same_as(*zeros(DType::kF32, {2})));
  EXPECT_FALSE(zeros(DType::kF32, {2})->same_as(*zeros(DType::kF32, {3})));
}

TEST(Weight, TransposedTwiceIsItself) {
  const WeightPtr weight = zeros(DType::kF32, {3, 5});
  EXPECT_EQ(transpose(transpose(weight)), weight);
}

}  // namespace
}  // namespace lorapress
