// The order in which threads write files: chunks are cut into pieces, and pieces that read the same
// weights follow each other.
#ifndef LORAPRESS_WEIGHTS_PIECES_H_
#define LORAPRESS_WEIGHTS_PIECES_H_

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <vector>

#include "weights/stream.h"

namespace lorapress {

// Bytes [begin, end) of plan number `file`; a piece never crosses the end of a chunk.
struct Piece {
  size_t file = 0;
  uint64_t begin = 0;
  uint64_t end = 0;
  [[nodiscard]] uint64_t chunk() const { return begin / kChunkBytes; }
};

// Cuts all plans into pieces. Every byte of every plan is in exactly one piece, and the pieces of
// one chunk are in the order of their bytes. Files that share no weight are cut into whole chunks,
// and the chunks of different files alternate, so that threads seldom wait for one another at the
// same file's write lock. Where files share a weight (the same root_of()), the pieces follow the
// weight: part i of the weight is written to all files before part i + 1.
//
// This saves reads only if every file holds the shared weights in the same order (which
// graph/source_order.h arranges). A file in another order is written correctly, too, but its shared
// weights are read again for it.
std::vector<Piece> plan_pieces(const std::vector<FilePlan>& plans);

// Hands pieces to workers in order. A chunk is hashed from its beginning to its end, so a piece
// waits until the previous piece of the same chunk is finished; pieces of other chunks are handed
// out meanwhile. Thread safe.
class PieceQueue {
 public:
  explicit PieceQueue(std::vector<Piece> pieces);

  struct Taken {
    size_t index;
    Piece piece;
  };
  // The next piece whose predecessor is finished. Blocks while every remaining piece waits for an
  // earlier one; returns nullopt once all pieces are handed out, or after stop().
  std::optional<Taken> take();
  void finish(const Taken& taken);
  void stop();

 private:
  [[nodiscard]] std::optional<size_t> first_ready() const;

  enum class State : uint8_t { kOpen, kTaken, kDone };
  static constexpr size_t kNone = SIZE_MAX;

  std::vector<Piece> pieces_;
  std::vector<size_t> before_;  // by piece: the previous piece of the same chunk, or kNone
  std::vector<State> states_;
  size_t first_open_ = 0;  // every piece with a lower index was handed out
  bool stopped_ = false;
  std::mutex mutex_;
  std::condition_variable changed_;
};

}  // namespace lorapress

#endif  // LORAPRESS_WEIGHTS_PIECES_H_
