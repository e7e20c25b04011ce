#include "weights/group.h"

#include <algorithm>
#include <cstring>

namespace lorapress {
namespace {

uint64_t rows_of(const Weight& member, uint64_t bytes) {
  const uint64_t pitch = member.group()->row_bytes(member);
  return (bytes + pitch - 1) / pitch;
}

// Bytes [offset, offset + out.size()) of a member: calls fill(row, count, bytes) for the group's
// rows that cover these bytes, and cuts the bytes out.
template <typename Fill>
void by_rows(const Weight& member, uint64_t offset, std::span<std::byte> out, const Fill& fill) {
  const uint64_t pitch = member.group()->row_bytes(member);
  const uint64_t end = offset + out.size();
  const uint64_t row = offset / pitch;
  const uint64_t count = rows_of(member, end) - row;
  const auto call = [&](std::span<std::byte> bytes) {
    fill(static_cast<int64_t>(row), static_cast<int64_t>(count), bytes);
  };
  if (offset % pitch == 0 && (end % pitch == 0 || end == member.bytes())) {
    return call(out);
  }
  const uint64_t covered = std::min((row + count) * pitch, member.bytes()) - row * pitch;
  Buffer<std::byte> cover(static_cast<size_t>(covered));
  call(cover.span());
  std::memcpy(out.data(), cover.data() + offset % pitch, out.size());
}

}  // namespace

void read_member(const Weight& member, const Block& block, std::span<std::byte> out) {
  if (out.empty()) {
    return;
  }
  const size_t size = dtype_size(member.dtype());
  const auto at = [&](int64_t row, int64_t col) {
    return static_cast<uint64_t>(row * member.cols() + col) * size;
  };
  if (block.rows == 1 || block.cols == member.cols()) {
    by_rows(member, at(block.row, block.col), out, [&](int64_t row, int64_t count, auto bytes) {
      const WeightGroup::Rows wanted{&member, bytes};
      member.group()->read_rows(row, count, {&wanted, 1});
    });
    return;
  }
  Buffer<std::byte> rows(static_cast<size_t>(at(block.rows, 0)));
  read_member(member, {block.row, block.rows, 0, member.cols()}, rows.span());
  const size_t stripe = static_cast<size_t>(block.cols) * size;
  for (int64_t row = 0; row < block.rows; ++row) {
    std::memcpy(
        out.data() + static_cast<size_t>(row) * stripe, rows.data() + at(row, block.col), stripe);
  }
}

void GroupCache::add(const Weight& weight) {
  if (weight.group() == nullptr) {
    return;
  }
  std::unique_ptr<Group>& group = groups_[weight.group()];
  if (!group) {
    group = std::make_unique<Group>();
    group->first = &weight;
  } else if (&weight != group->first) {
    if (std::ranges::find(group->sides, &weight, &Side::member) == group->sides.end()) {
      group->sides.push_back({&weight, {}});
    }
    group->left += weight.bytes();
  }
}

void GroupCache::read(const Weight& weight, uint64_t offset, std::span<std::byte> out) {
  const auto found = weight.group() == nullptr ? groups_.end() : groups_.find(weight.group());
  if (found == groups_.end() || out.empty()) {
    return read_bytes(weight, offset, out);
  }
  Group& group = *found->second;
  if (&weight != group.first) {
    if (!take_side(group, weight, offset, out)) {
      read_bytes(weight, offset, out);
    }
    return;
  }
  if (!reserve(group)) {
    return read_bytes(weight, offset, out);
  }
  by_rows(weight, offset, out, [&](int64_t row, int64_t count, auto bytes) {
    std::vector<Buffer<std::byte>> found_sides(group.sides.size());
    std::vector<WeightGroup::Rows> wanted{{&weight, bytes}};
    const auto place = [&](const Weight& side) {
      const uint64_t pitch = found->first->row_bytes(side);
      const uint64_t begin = static_cast<uint64_t>(row) * pitch;
      return std::pair(begin, std::min(static_cast<uint64_t>(count) * pitch, side.bytes() - begin));
    };
    for (size_t i = 0; i < group.sides.size(); ++i) {
      found_sides[i].resize(static_cast<size_t>(place(*group.sides[i].member).second));
      wanted.push_back({group.sides[i].member, found_sides[i].span()});
    }
    found->first->read_rows(row, count, wanted);
    const std::lock_guard lock(group.mutex);
    if (group.known.empty()) {
      return;  // the sides were written meanwhile
    }
    for (size_t i = 0; i < group.sides.size(); ++i) {
      std::ranges::copy(found_sides[i].span(),
                        group.sides[i].bytes.data() + place(*group.sides[i].member).first);
    }
    std::fill_n(group.known.begin() + row, count, true);
  });
}

bool GroupCache::take_side(Group& group,
                           const Weight& side,
                           uint64_t offset,
                           std::span<std::byte> out) {
  const std::lock_guard lock(group.mutex);
  const auto at = std::ranges::find(group.sides, &side, &Side::member);
  bool kept = at != group.sides.end() && !group.known.empty();
  const uint64_t last = rows_of(side, offset + out.size());
  for (uint64_t row = offset / side.group()->row_bytes(side); kept && row < last; ++row) {
    kept = group.known[static_cast<size_t>(row)];
  }
  if (kept) {
    std::memcpy(out.data(), at->bytes.data() + offset, out.size());
  }
  group.left -= std::min<uint64_t>(group.left, out.size());
  if (group.left == 0 && !group.known.empty()) {
    group.known = {};
    const std::lock_guard room_lock(room_mutex_);
    for (Side& each : group.sides) {
      room_ += each.bytes.size();
      each.bytes = {};
    }
  }
  return kept;
}

bool GroupCache::reserve(Group& group) {
  const std::lock_guard lock(group.mutex);
  if (group.left == 0 || !group.known.empty()) {
    return group.left != 0;
  }
  size_t bytes = 0;
  for (const Side& side : group.sides) {
    bytes += static_cast<size_t>(side.member->bytes());
  }
  const std::lock_guard room_lock(room_mutex_);
  if (bytes > room_) {
    return false;
  }
  room_ -= bytes;
  for (Side& side : group.sides) {
    side.bytes.resize(static_cast<size_t>(side.member->bytes()));
  }
  group.known.resize(static_cast<size_t>(rows_of(*group.first, group.first->bytes())));
  return true;
}

}  // namespace lorapress
