// Weights that are computed together, such as the integers and the scales of one quantized matrix:
// one step computes both, but a file holds them in different places.
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

// A group is divided into rows: row i is bytes [i * row_bytes, (i + 1) * row_bytes) of each member,
// whatever the member's own shape; a member's last row may be shorter. Thread safe.
class WeightGroup {
 public:
  virtual ~WeightGroup() = default;

  // A member, which is a weight whose group() is this group, and the place for its rows.
  struct Rows {
    const Weight* member;
    std::span<std::byte> out;
  };
  [[nodiscard]] virtual uint64_t row_bytes(const Weight& member) const = 0;
  // Writes rows [row, row + count) of each of `members` to its `out`; the computation that the
  // members share is done once.
  virtual void read_rows(int64_t row, int64_t count, std::span<const Rows> members) const = 0;
};

// Weight::read() for a member of a group, by the group's read_rows().
void read_member(const Weight& member, const Block& block, std::span<std::byte> out);

// Writes one member's share of a computed portion of its group, in the member's own dtype.
template <typename Portion>
class PortionWriter {
 public:
  virtual ~PortionWriter() = default;
  virtual void store(const Portion& portion, std::span<std::byte> out) const = 0;
};

// The base class of members, which reads through the group. Group::operator== has to be true only
// where both groups compute the same content from the same sources.
template <typename Base, typename Group, typename Portion>
class GroupMember : public Base, public PortionWriter<Portion> {
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

// A cache for a writer that writes the members of a group one after another: while the first member
// is written, the rows of the other members (the sides) are computed, too, and kept until the sides
// are written. Belongs to one writer, which reads every byte of its weights once; other readers of
// the weights do not affect it. Groups whose sides exceed `most_bytes` are computed again for each
// member. Thread safe after the last add().
class GroupCache {
 public:
  explicit GroupCache(size_t most_bytes = size_t{32} << 20) : room_(most_bytes) {}
  GroupCache(const GroupCache&) = delete;
  GroupCache& operator=(const GroupCache&) = delete;

  // Announces a weight that will be read. Call it in the order of reading.
  void add(const Weight& weight);
  // As read_bytes() of weight.h, which also reads the weights without a group.
  void read(const Weight& weight, uint64_t offset, std::span<std::byte> out);

 private:
  struct Side {
    const Weight* member;
    Buffer<std::byte> bytes;
  };
  struct Group {
    const Weight* first;
    std::vector<Side> sides;
    uint64_t left = 0;  // bytes of the sides that were not read yet
    std::mutex mutex;
    std::vector<bool> known;  // by row: the sides hold it; empty while nothing is kept
  };

  // Copies kept bytes of a side to `out`; false if some of these bytes were not kept. The last read
  // of a group's sides frees their memory.
  bool take_side(Group& group, const Weight& side, uint64_t offset, std::span<std::byte> out);
  bool reserve(Group& group);

  std::map<const WeightGroup*, std::unique_ptr<Group>> groups_;
  std::mutex room_mutex_;
  size_t room_;
};

}  // namespace lorapress

#endif  // LORAPRESS_WEIGHTS_GROUP_H_
