#include "weights/pieces.h"

#include <map>
#include <set>

#include "base/threads.h"
#include "test_util.h"
#include "weights/shared.h"

namespace lorapress {
namespace {

struct Files {
  WeightPtr first = zeros(DType::kF32, {3000, 1000});
  WeightPtr second = zeros(DType::kF32, {500, 1000});
  WeightPtr third = zeros(DType::kF32, {1000, 2000});
  std::vector<FilePlan> plans;

  Files() {
    plans.emplace_back("a");
    plans[0].literal(std::string(1000, 'x'));
    plans[0].weight(first);
    plans[0].weight(second);
    plans[0].weight(transpose(third));
    plans.emplace_back("b");
    plans[1].weight(cast(first, DType::kF16));
    plans[1].literal("between");
    plans[1].weight(transpose(cast(third, DType::kF16)));
    plans[1].weight(cast(second, DType::kF16));  // out of order
  }
};

void expect_all_bytes_once(const std::vector<FilePlan>& plans, const std::vector<Piece>& pieces) {
  std::map<std::pair<size_t, uint64_t>, uint64_t> written;  // by file and chunk: its end so far
  std::vector<uint64_t> bytes(plans.size());
  for (const Piece& piece : pieces) {
    ASSERT_LT(piece.begin, piece.end);
    ASSERT_LE(piece.end, plans[piece.file].size());
    ASSERT_LE(piece.end, (piece.chunk() + 1) * kChunkBytes);
    const auto [at, first] =
        written.try_emplace({piece.file, piece.chunk()}, piece.chunk() * kChunkBytes);
    ASSERT_EQ(piece.begin, at->second);
    at->second = piece.end;
    bytes[piece.file] += piece.end - piece.begin;
  }
  for (size_t file = 0; file < plans.size(); ++file) {
    EXPECT_EQ(bytes[file], plans[file].size());
  }
}

TEST(PlanPieces, CoversEveryByteOnceInOrder) {
  const Files files;
  expect_all_bytes_once(files.plans, plan_pieces(files.plans));
  EXPECT_TRUE(plan_pieces({}).empty());
  EXPECT_TRUE(plan_pieces({FilePlan("empty")}).empty());
}

TEST(PlanPieces, CutsChunksWhereNothingIsShared) {
  FilePlan a("a");
  a.weight(zeros(DType::kF32, {5000, 1000}));
  FilePlan b("b");
  b.weight(zeros(DType::kF32, {5000, 1000}));
  const std::vector<FilePlan> plans{a, b};
  const std::vector<Piece> pieces = plan_pieces(plans);
  expect_all_bytes_once(plans, pieces);
  ASSERT_EQ(pieces.size(), 6U);  // 20 MB each
  for (size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(pieces[i].file, i % 2);
    EXPECT_EQ(pieces[i].chunk(), i / 2);
  }
}

// What is written between two visits of one part of a weight stays small, so that a small store of
// shared reads serves all files.
TEST(PlanPieces, BringsTogetherWhatIsMadeOfOneWeight) {
  std::vector<WeightPtr> weights;
  std::vector<FilePlan> plans;
  SharedReads reads;
  for (int i = 0; i < 8; ++i) {
    weights.push_back(reads.share(zeros(DType::kF32, {3000, 1000})));  // 12 MB
  }
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    FilePlan& plan = plans.emplace_back(std::string(dtype_name(dtype)));
    for (const WeightPtr& weight : weights) {
      plan.weight(cast(weight, dtype));
    }
  }
  const std::vector<Piece> pieces = plan_pieces(plans);
  expect_all_bytes_once(plans, pieces);
  size_t most_parts = 0;
  std::vector<std::pair<double, double>> reach(plans.size());  // of the weights, in weights
  for (const Piece& piece : pieces) {
    const auto size = static_cast<double>(plans[piece.file].size()) / 8;
    reach[piece.file] = {static_cast<double>(piece.begin) / size,
                         static_cast<double>(piece.end) / size};
    const double low = std::min({reach[0].second, reach[1].second, reach[2].second});
    const double high = std::max({reach[0].second, reach[1].second, reach[2].second});
    most_parts = std::max(most_parts, static_cast<size_t>((high - low) * 3 + 0.99));
  }
  EXPECT_LE(most_parts, 1U);  // a third of a weight, 4 MB
}

TEST(PieceQueue, KeepsTheOrderInsideAChunk) {
  const Files files;
  const std::vector<Piece> pieces = plan_pieces(files.plans);
  for (const unsigned threads : {1U, 4U}) {
    PieceQueue queue(pieces);
    std::mutex mutex;
    std::map<std::pair<size_t, uint64_t>, uint64_t> ends;
    std::set<size_t> seen;
    parallel_for(threads, threads, [&](size_t /*index*/, unsigned /*worker*/) {
      while (const auto taken = queue.take()) {
        const Piece& piece = taken->piece;
        {
          const std::lock_guard lock(mutex);
          EXPECT_TRUE(seen.insert(taken->index).second);
          const auto [at, first] =
              ends.try_emplace({piece.file, piece.chunk()}, piece.chunk() * kChunkBytes);
          EXPECT_EQ(at->second, piece.begin);
          at->second = UINT64_MAX;  // taken
        }
        std::this_thread::yield();
        {
          const std::lock_guard lock(mutex);
          ends[{piece.file, piece.chunk()}] = piece.end;
        }
        queue.finish(*taken);
      }
    });
    EXPECT_EQ(seen.size(), pieces.size());
  }
}

TEST(PieceQueue, LetsGoWhenStopped) {
  FilePlan plan("a");
  const WeightPtr weight = zeros(DType::kF32, {1000, 1000});
  plan.weight(weight);
  plan.weight(zeros(DType::kF32, {1000, 1000}));
  FilePlan other("b");
  other.weight(weight);
  const std::vector<Piece> pieces = plan_pieces({plan, other});
  ASSERT_EQ(pieces.size(), 2U);
  PieceQueue queue({pieces[0], {pieces[0].file, pieces[0].end, pieces[0].end + 1}});
  ASSERT_TRUE(queue.take());
  std::thread waiting([&] { EXPECT_FALSE(queue.take()); });  // for the piece that never ends
  queue.stop();
  waiting.join();
  EXPECT_FALSE(queue.take());
}

}  // namespace
}  // namespace lorapress
