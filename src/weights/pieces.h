// In which order files are written, and by whom: pieces of chunks, those made of the same weights
// next to each other.
#ifndef LORAPRESS_WEIGHTS_PIECES_H_
#define LORAPRESS_WEIGHTS_PIECES_H_

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <vector>

#include "weights/stream.h"

namespace lorapress {

// Bytes [begin, end) of a file, inside one chunk.
struct Piece {
  size_t file = 0;
  uint64_t begin = 0;
  uint64_t end = 0;
  [[nodiscard]] uint64_t chunk() const { return begin / kChunkBytes; }
};

// Every byte of every plan once, and the pieces of one chunk in the order of their bytes. Files
// that share no weight are cut in whole chunks and take turns, so that threads seldom wait for one
// another at the same file's write lock. Where files share weights (root_of), pieces follow the
// weights: a part of a weight is written to all files before the next part.
//
// That needs the shared weights in the same order in every file (graph/source_order.h sees to it).
// A file in another order is written just as right, but what it shares is read once more for it.
std::vector<Piece> plan_pieces(const std::vector<FilePlan>& plans);

// Hands pieces to workers in their order. A chunk is hashed from its beginning to its end, so a
// piece waits for the one before it in the same chunk; the others go on meanwhile.
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
  std::vector<size_t> before_;  // the piece before it in the same chunk, or kNone
  std::vector<State> states_;
  size_t first_open_ = 0;  // every piece with a lower index was handed out
  bool stopped_ = false;
  std::mutex mutex_;
  std::condition_variable changed_;
};

}  // namespace lorapress

#endif  // LORAPRESS_WEIGHTS_PIECES_H_
