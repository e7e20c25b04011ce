// Weights that are worked out together: the integers and the scales of one quantized matrix, say,
// which stand apart in a file and are found in one step.
#ifndef LORAPRESS_WEIGHTS_GROUP_H_
#define LORAPRESS_WEIGHTS_GROUP_H_

#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "base/buffer.h"
#include "weights/weight.h"

namespace lorapress {

// A group has rows, and row i is bytes [i * row_bytes, (i + 1) * row_bytes) of a member, whatever the
// member's own shape; the last row may be shorter. Thread safe.
class WeightGroup {
 public:
  virtual ~WeightGroup() = default;

  // `member` is a weight whose group() this is.
  struct Rows {
    const Weight* member;
    std::span<std::byte> out;
  };
  [[nodiscard]] virtual uint64_t row_bytes(const Weight& member) const = 0;
  // Rows [row, row + count) of some members at the price of one.
  virtual void read_rows(int64_t row, int64_t count, std::span<const Rows> members) const = 0;
};

// Weight::read() of a member, by its group.
void read_member(const Weight& member, const Block& block, std::span<std::byte> out);

// What a member takes of a portion of its group, in its own dtype.
template <typename Portion>
class PartOf {
 public:
  virtual ~PartOf() = default;
  virtual void store(const Portion& portion, std::span<std::byte> out) const = 0;
};

// What all members share. Two groups are equal where they make the same of the same sources.
template <typename Base, typename Group, typename Portion>
class GroupMember : public Base, public PartOf<Portion> {
 public:
  template <typename... Args>
  explicit GroupMember(std::shared_ptr<const Group> group, Args&&... args)
      : Base(std::forward<Args>(args)...), group_(std::move(group)) {}

  void read(const Block& block, std::span<std::byte> out) const override {
    read_member(*this, block, out);
  }
  [[nodiscard]] const WeightGroup* group() const override { return group_.get(); }

 protected:
  [[nodiscard]] bool same_parameters(const Weight& other) const override {
    return *group_ == *static_cast<const GroupMember&>(other).group_;
  }

  std::shared_ptr<const Group> group_;
};

// What a writer keeps of groups while it writes their members one after another: when the first of
// them is written, the rows of the others are found, too, and kept until these are written. Belongs
// to one writer, which reads every byte of its weights once; reading by others changes nothing. What
// does not fit the bound is worked out once more. Thread safe after the last add().
class GroupMemory {
 public:
  explicit GroupMemory(size_t most_bytes = size_t{32} << 20) : room_(most_bytes) {}
  GroupMemory(const GroupMemory&) = delete;
  GroupMemory& operator=(const GroupMemory&) = delete;

  // Announces a weight that will be read, in the order of reading.
  void add(const Weight& weight);
  // As read_bytes(), which serves weights without a group.
  void read(const Weight& weight, uint64_t offset, std::span<std::byte> out);

 private:
  struct Side {
    const Weight* member;
    Buffer<std::byte> bytes;
  };
  struct Group {
    const Weight* first;
    std::vector<Side> sides;
    uint64_t left = 0;  // bytes of the sides that are still to be read
    std::mutex mutex;
    std::vector<bool> known;  // by row; empty while nothing is kept
  };

  // Whether all of the bytes were kept. What was read for the last time is forgotten.
  bool take_side(Group& group, const Weight& side, uint64_t offset, std::span<std::byte> out);
  bool reserve(Group& group);

  std::map<const WeightGroup*, std::unique_ptr<Group>> groups_;
  std::mutex room_mutex_;
  size_t room_;
};

}  // namespace lorapress

#endif  // LORAPRESS_WEIGHTS_GROUP_H_
