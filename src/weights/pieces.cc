#include "weights/pieces.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <unordered_map>

namespace lorapress {
namespace {

// Values of the root per part of a weight; a part is written to all files before the next part.
constexpr uint64_t kPartValues = uint64_t{1} << 20;
// Smaller weights are not ordered by sharing: it would not pay.
constexpr uint64_t kLeastBytes = uint64_t{16} << 10;

// The place of a piece in the common order of all files: by weight, then by part of the weight.
struct ReadOrder {
  size_t rank = 0;
  uint64_t part = 0;
  auto operator<=>(const ReadOrder&) const = default;
};

struct Planned {
  Piece piece;
  ReadOrder read_order;
  double share = 0.0;  // the fraction of the file that lies before this piece
};

const Weight* root_in(const FilePlan::Segment& segment) {
  const auto* weight = std::get_if<WeightPtr>(&segment.content);
  return weight == nullptr ? nullptr : &root_of(**weight);
}

// The roots (root_of) that more than one file reads, numbered in the order in which the plans name
// them first.
std::unordered_map<const Weight*, size_t> rank_shared(const std::vector<FilePlan>& plans) {
  struct Seen {
    size_t rank;
    size_t file;
    bool shared;
  };
  std::unordered_map<const Weight*, Seen> seen;
  for (size_t file = 0; file < plans.size(); ++file) {
    for (const FilePlan::Segment& segment : plans[file].segments()) {
      const Weight* root = root_in(segment);
      if (root != nullptr && root->bytes() >= kLeastBytes) {
        Seen& entry = seen.try_emplace(root, Seen{seen.size() + 1, file, false}).first->second;
        entry.shared = entry.shared || entry.file != file;
      }
    }
  }
  std::unordered_map<const Weight*, size_t> ranks;
  for (const auto& [root, entry] : seen) {
    if (entry.shared) {
      ranks.emplace(root, entry.rank);
    }
  }
  return ranks;
}

class FilePieces {
 public:
  FilePieces(size_t file, const FilePlan& plan, std::vector<Planned>& out)
      : file_(file), size_(plan.size()), out_(out) {}

  // Continues the file up to `end`. A file is written in the order of its bytes, so a weight that
  // comes earlier in another file gets the order of the weight before it: the orders of one file
  // never decrease.
  void extend(uint64_t end, const ReadOrder& read_order) {
    const ReadOrder own = std::max(read_order, read_order_);
    while (at_ < end) {
      if (at_ % kChunkBytes == 0 || own != read_order_) {
        const double share = static_cast<double>(at_) / static_cast<double>(size_);
        out_.push_back({{file_, at_, at_}, own, share});
      }
      read_order_ = own;
      at_ = std::min(end, (at_ / kChunkBytes + 1) * kChunkBytes);
      out_.back().piece.end = at_;
    }
  }

 private:
  size_t file_;
  uint64_t size_;
  std::vector<Planned>& out_;
  uint64_t at_ = 0;
  ReadOrder read_order_;
};

// A weight that can be read row by row is cut into parts of whole rows, as many as its root has
// kPartValues, so that part i of every view of one root reads the same values of that root.
void add_weight(const FilePlan::Segment& segment, size_t rank, FilePieces& pieces) {
  const Weight& weight = *std::get<WeightPtr>(segment.content);
  const Weight& root = root_of(weight);
  const uint64_t parts = weight.row_wise() ? (root.values() + kPartValues - 1) / kPartValues : 1;
  const auto rows = static_cast<uint64_t>(weight.rows());
  for (uint64_t part = 0; part < parts; ++part) {
    const uint64_t last_row = rows * (part + 1) / parts;
    pieces.extend(segment.offset + segment.bytes / rows * last_row, {rank, part});
  }
}

}  // namespace

std::vector<Piece> plan_pieces(const std::vector<FilePlan>& plans) {
  const auto ranks = rank_shared(plans);
  std::vector<Planned> planned;
  for (size_t file = 0; file < plans.size(); ++file) {
    FilePieces pieces(file, plans[file], planned);
    for (const FilePlan::Segment& segment : plans[file].segments()) {
      const auto rank = ranks.find(root_in(segment));
      if (rank != ranks.end()) {
        add_weight(segment, rank->second, pieces);
      } else {
        pieces.extend(segment.offset + segment.bytes, {});
      }
    }
  }
  std::ranges::stable_sort(
      planned, {}, [](const Planned& entry) { return std::tuple(entry.read_order, entry.share); });
  std::vector<Piece> pieces;
  pieces.reserve(planned.size());
  for (const Planned& entry : planned) {
    pieces.push_back(entry.piece);
  }
  return pieces;
}

PieceQueue::PieceQueue(std::vector<Piece> pieces)
    : pieces_(std::move(pieces)), states_(pieces_.size(), State::kOpen) {
  std::map<std::pair<size_t, uint64_t>, size_t> last;  // by file and chunk
  for (size_t i = 0; i < pieces_.size(); ++i) {
    const auto [found, first] = last.try_emplace({pieces_[i].file, pieces_[i].chunk()}, i);
    before_.push_back(first ? kNone : found->second);
    found->second = i;
  }
}

std::optional<size_t> PieceQueue::first_ready() const {
  for (size_t i = first_open_; i < pieces_.size(); ++i) {
    if (states_[i] == State::kOpen &&
        (before_[i] == kNone || states_[before_[i]] == State::kDone)) {
      return i;
    }
  }
  return std::nullopt;
}

std::optional<PieceQueue::Taken> PieceQueue::take() {
  std::unique_lock lock(mutex_);
  while (!stopped_ && first_open_ < pieces_.size()) {
    if (const auto ready = first_ready()) {
      states_[*ready] = State::kTaken;
      while (first_open_ < pieces_.size() && states_[first_open_] != State::kOpen) {
        ++first_open_;
      }
      return Taken{*ready, pieces_[*ready]};
    }
    changed_.wait(lock);
  }
  return std::nullopt;
}

void PieceQueue::finish(const Taken& taken) {
  const std::lock_guard lock(mutex_);
  states_[taken.index] = State::kDone;
  changed_.notify_all();
}

void PieceQueue::stop() {
  const std::lock_guard lock(mutex_);
  stopped_ = true;
  changed_.notify_all();
}

}  // namespace lorapress
