#include "weights/stream.h"

#include <atomic>
#include <gtest/gtest.h>
#include <memory>
#include <stdexcept>

#include "base/sha256.h"
#include "test_util.h"
#include "weights/shared.h"

namespace lorapress {
namespace {

using test::message_of;
using test::Random;
using test::TempFolder;
using Bytes = std::vector<std::byte>;

struct Planned {
  FilePlan plan;
  Bytes content;

  void literal(const std::string& text) {
    plan.literal(text);
    const auto bytes = std::as_bytes(std::span(text));
    content.insert(content.end(), bytes.begin(), bytes.end());
  }
  void weight(const WeightPtr& weight) {
    plan.weight(weight);
    Bytes bytes(weight->bytes());
    read_bytes(*weight, 0, bytes);
    content.insert(content.end(), bytes.begin(), bytes.end());
  }
};

WeightPtr file_of(const std::filesystem::path& path,
                  DType dtype,
                  const Shape& shape,
                  uint32_t seed) {
  Random random(seed);
  const uint64_t bytes = zeros(dtype, shape)->bytes();
  OutputFile file(path, 0);
  file.write_at(0, random.bytes(bytes + 5));
  file.close();
  return file_weight(dtype, shape, {std::make_shared<InputFile>(path), 5});
}

// Small and large pieces, unchanged and changed weights, chunk borders inside all of them.
std::vector<Planned> make_plans(const TempFolder& inputs, const std::filesystem::path& out) {
  const WeightPtr large = file_of(inputs / "large", DType::kF32, {1100, 2003}, 1);  // 8.4 MiB
  const WeightPtr small = file_of(inputs / "small", DType::kBF16, {3, 5}, 2);
  const WeightPtr transposed =
      transpose(file_of(inputs / "transposed", DType::kF32, {1500, 1400}, 3));
  std::vector<Planned> plans;
  plans.push_back({FilePlan(out / "a"), {}});
  plans.back().literal("odd");
  plans.back().weight(small);
  plans.back().weight(large);
  plans.back().literal(std::string(1001, 'x'));
  plans.back().weight(transposed);
  plans.back().weight(zeros(DType::kF32, {0, 4}));
  plans.back().literal("");
  plans.back().weight(small);
  plans.push_back({FilePlan(out / "b"), {}});
  plans.back().weight(small);
  plans.push_back({FilePlan(out / "empty"), {}});
  plans.push_back({FilePlan(out / "c"), {}});
  plans.back().literal(std::string(kChunkBytes, 'y'));  // a border at the very end
  plans.push_back({FilePlan(out / "d"), {}});
  plans.back().weight(large);
  plans.back().weight(zeros(DType::kU8, {(2 << 20) + 1}));
  return plans;
}

std::vector<FilePlan> plans_of(const std::vector<Planned>& all) {
  std::vector<FilePlan> plans;
  for (const Planned& planned : all) {
    plans.push_back(planned.plan);
  }
  return plans;
}

void expect_file(const Planned& planned, const WrittenFile& written, bool hash) {
  const Bytes& content = planned.content;
  EXPECT_EQ(written.path, planned.plan.path());
  ASSERT_EQ(written.bytes, content.size());
  const InputFile file(written.path);
  ASSERT_EQ(file.size(), content.size());
  Bytes found(content.size());
  file.read_at(0, found);
  EXPECT_TRUE(found == content) << written.path;
  std::vector<std::string> digests;
  for (size_t at = 0; hash && at < content.size(); at += kChunkBytes) {
    const size_t count = std::min<size_t>(kChunkBytes, content.size() - at);
    digests.push_back(sha256_hex(std::span(content).subspan(at, count)));
  }
  EXPECT_EQ(written.chunk_sha256, digests) << written.path;
}

TEST(WriteFiles, GivesTheSameBytesOnAnyNumberOfThreads) {
  for (const bool hash : {false, true}) {
    for (const unsigned threads : {1U, 2U, 3U, 4U}) {
      const TempFolder folder;
      std::filesystem::create_directory(folder / "out");
      const std::vector<Planned> all = make_plans(folder, folder / "out");
      const auto written =
          write_files(plans_of(all), {.hash = hash, .threads = threads, .progress = {}});
      ASSERT_EQ(written.size(), all.size());
      for (size_t i = 0; i < all.size(); ++i) {
        expect_file(all[i], written[i], hash);
      }
    }
  }
}

// Files of one model in several dtypes: bytes are those of each file by itself, the weights are
// read once.
TEST(WriteFiles, SharesReadsBetweenFiles) {
  const TempFolder inputs;
  std::vector<WeightPtr> weights;
  for (uint32_t i = 0; i < 6; ++i) {  // 5.8 MB each
    weights.push_back(file_of(inputs / std::to_string(i), DType::kF32, {1200, 1207}, i));
  }
  for (const unsigned threads : {1U, 2U, 4U}) {
    const TempFolder folder;
    SharedReads reads(size_t{threads == 1 ? 12U : 48U} << 20);  // two weights, or all
    std::vector<WeightPtr> shared;
    for (const WeightPtr& weight : weights) {
      shared.push_back(reads.share(weight));
    }
    std::vector<Planned> expected;
    std::vector<FilePlan> plans;
    for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
      const FilePlan empty(folder / std::string(dtype_name(dtype)));
      expected.push_back({empty, {}});
      plans.push_back(empty);
      for (size_t i = 0; i < weights.size(); ++i) {
        const auto view = [&](const WeightPtr& weight) {
          return cast(i % 2 == 0 && dtype != DType::kBF16 ? transpose(weight) : weight, dtype);
        };
        const std::string head = "head of " + std::to_string(i);
        expected.back().literal(head);
        expected.back().weight(view(weights[i]));
        plans.back().literal(head);
        plans.back().weight(view(shared[i]));
      }
    }
    const auto written = write_files(plans, {.hash = true, .threads = threads, .progress = {}});
    for (size_t i = 0; i < plans.size(); ++i) {
      expect_file(expected[i], written[i], true);
    }
    EXPECT_EQ(reads.values_read(), 6U * 1200 * 1207);
  }
}

TEST(WriteFiles, ReportsProgressOneAtATime) {
  const TempFolder folder;
  const std::vector<Planned> all = make_plans(folder, folder.path());
  uint64_t total = 0;
  for (const Planned& planned : all) {
    total += planned.content.size();
  }
  std::atomic<int> inside{0};
  uint64_t last = 0;
  const auto progress = [&](const Progress& now) {
    EXPECT_EQ(++inside, 1);
    EXPECT_EQ(now.phase, "write");
    EXPECT_EQ(now.total, total);
    EXPECT_GT(now.done, last);
    last = now.done;
    --inside;
  };
  write_files(plans_of(all), {.hash = true, .threads = 4, .progress = progress});
  EXPECT_EQ(last, total);
}

TEST(WriteFiles, IsCancelledByItsProgress) {
  const TempFolder folder;
  const std::vector<Planned> all = make_plans(folder, folder.path());
  const auto cancel = [](const Progress&) { throw std::range_error("enough"); };
  EXPECT_THROW(write_files(plans_of(all), {.hash = true, .threads = 3, .progress = cancel}),
               std::range_error);
}

TEST(WriteFiles, RefusesAnExistingFileAndAShrunkenSource) {
  const TempFolder folder;
  FilePlan plan(folder / "a");
  plan.literal("new");
  write_text(folder / "a", "old");
  message_of(ErrorCode::kExists, [&] { write_files({plan}, {}); });
  EXPECT_EQ(read_text(folder / "a"), "old");
  for (const bool hash : {false, true}) {
    const std::string name = hash ? "hashed" : "copied";
    FilePlan copy(folder / name);
    copy.weight(file_of(folder / (name + ".in"), DType::kF32, {100, 100}, 1));
    std::filesystem::resize_file(folder / (name + ".in"), 1000);
    message_of(ErrorCode::kInvalidFile,
               [&] { write_files({copy}, {.hash = hash, .threads = 1, .progress = {}}); });
  }
}

TEST(WriteFiles, TakesNoPlans) {
  EXPECT_TRUE(write_files({}, {}).empty());
}

TEST(FilePlan, AddsUpItsSegments) {
  FilePlan plan("x");
  plan.literal("abc");
  plan.literal("");
  plan.weight(zeros(DType::kF16, {2, 5}));
  plan.weight(zeros(DType::kF16, {0}));
  plan.literal("d");
  EXPECT_EQ(plan.size(), 24U);
  ASSERT_EQ(plan.segments().size(), 3U);
  EXPECT_EQ(plan.segments()[1].offset, 3U);
  EXPECT_EQ(plan.segments()[2].offset, 23U);
}

}  // namespace
}  // namespace lorapress
