#include "graph/proto_walk.h"

#include <algorithm>

#include "base/fail.h"

namespace lorapress {
namespace {

constexpr uint64_t kMaxField = uint64_t{64} << 20;
constexpr uint64_t kMaxRest = uint64_t{512} << 20;

}  // namespace

std::byte ProtoBytes::at(uint64_t at) {
  if (at < begin_ || at - begin_ >= size_) {
    begin_ = at;
    size_ = static_cast<size_t>(std::min<uint64_t>(window_.size(), file_.size() - at));
    file_.read_at(begin_, std::span(window_).first(size_));
  }
  return window_[static_cast<size_t>(at - begin_)];
}

void ProtoBytes::copy(uint64_t from, std::span<std::byte> out) {
  if (from >= begin_ && from - begin_ + out.size() <= size_) {
    std::ranges::copy(std::span(window_).subspan(static_cast<size_t>(from - begin_), out.size()),
                      out.begin());
  } else {
    file_.read_at(from, out);
  }
}

bool ProtoMessage::next(ProtoField& field) {
  if (at_ == end_) {
    return false;
  }
  field.tag = at_;
  const uint64_t tag = varint();
  field.number = static_cast<uint32_t>(tag >> 3);
  field.wire_type = static_cast<uint32_t>(tag & 7);
  uint64_t length = 0;
  if (field.wire_type == kWireVarint) {
    field.begin = at_;
    varint();
    field.end = at_;
    return true;
  }
  if (field.wire_type == 1 || field.wire_type == 5) {
    length = field.wire_type == 1 ? 8 : 4;
  } else if (field.wire_type == kWireBytes) {
    length = varint();
  } else {
    broken("an unknown wire type");
  }
  if (length > end_ - at_) {
    broken("a field that passes the end of its message");
  }
  field.begin = at_;
  field.end = at_ += length;
  return true;
}

void ProtoMessage::append(const ProtoField& field, std::string& out) const {
  const uint64_t size = field.end - field.tag;
  if (size > kMaxField) {
    broken("a message of more than 64 MiB");
  }
  if (out.size() + size > kMaxRest) {
    broken("more than 512 MiB that is no weight");
  }
  const size_t old = out.size();
  out.resize(old + static_cast<size_t>(size));
  bytes_.copy(field.tag, std::as_writable_bytes(std::span(out).subspan(old)));
}

void ProtoMessage::broken(std::string_view what) const {
  fail(ErrorCode::kInvalidFile,
       "{}: not an ONNX model: {} at byte {}; an incomplete download?",
       bytes_.file().path().string(),
       what,
       at_);
}

uint64_t ProtoMessage::varint() {
  uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    if (at_ == end_) {
      broken("a number that is cut off");
    }
    const auto next = static_cast<uint64_t>(bytes_.at(at_++));
    value |= (next & 0x7f) << shift;
    if ((next & 0x80) == 0) {
      return value;
    }
  }
  broken("a number of more than 10 bytes");
}

void append_varint(std::string& out, uint64_t value) {
  while (value >= 0x80) {
    out.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<char>(value));
}

std::string field_header(uint32_t field, uint64_t length) {
  std::string out;
  append_varint(out, uint64_t{field} << 3 | 2);
  append_varint(out, length);
  return out;
}

}  // namespace lorapress
