#include "engine/wire.h"

#include <algorithm>
#include <bit>

#include "engine/tensor.h"

namespace lorapress::engine {
namespace {

constexpr uint64_t kMostKept = uint64_t{64} << 20;

}  // namespace

uint8_t WireBytes::at(uint64_t at) {
  if (at < begin_ || at - begin_ >= size_) {
    begin_ = at;
    size_ = std::min<uint64_t>(window_.size(), source_.size() - at);
    source_.read(at, std::span(window_).first(static_cast<size_t>(size_)));
  }
  return static_cast<uint8_t>(window_[static_cast<size_t>(at - begin_)]);
}

void WireBytes::copy(uint64_t from, std::span<std::byte> out) {
  if (from >= begin_ && from - begin_ + out.size() <= size_) {
    std::copy_n(
        window_.begin() + static_cast<std::ptrdiff_t>(from - begin_), out.size(), out.begin());
  } else {
    source_.read(from, out);
  }
}

void WireBytes::keep(uint64_t bytes) {
  kept_ += bytes;
  if (bytes > kMostKept || kept_ > kMostKept) {
    refuse(Problem::kInvalid, "not an ONNX model: more than 64 MiB that are no weights");
  }
}

bool Wire::next() {
  if (at_ == end_) {
    return false;
  }
  const uint64_t tag = varint();
  type_ = static_cast<uint32_t>(tag & 7);
  number_ = static_cast<uint32_t>(std::min<uint64_t>(tag >> 3, UINT32_MAX));
  if (type_ == 0) {
    value_ = varint();
    return true;
  }
  if (type_ != 1 && type_ != 2 && type_ != 5) {
    broken("an unknown wire type");
  }
  length_ = type_ == 2 ? varint() : type_ == 1 ? 8 : 4;
  if (length_ > end_ - at_) {
    broken("a field that passes the end of its message");
  }
  begin_ = at_;
  at_ += length_;
  if (type_ == 5) {
    value_ = 0;
    for (uint64_t i = 0; i < 4; ++i) {
      value_ |= uint64_t{bytes_.at(begin_ + i)} << (8 * i);
    }
  }
  return true;
}

uint64_t Wire::varint() {
  uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    if (at_ == end_) {
      broken("a number that is cut off");
    }
    const uint64_t byte = bytes_.at(at_++);
    value |= (byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) {
      return value;
    }
  }
  broken("a number of more than 10 bytes");
}

void Wire::require_type(uint32_t type) const {
  if (type_ != type) {
    broken("a field of another kind than ONNX gives it");
  }
}

Wire Wire::message() const {
  require_type(2);
  return {bytes_, begin_, begin_ + length_};
}

std::string Wire::text() const {
  require_type(2);
  bytes_.keep(length_ + sizeof(std::string));
  std::string out(static_cast<size_t>(length_), '\0');
  bytes_.copy(begin_, std::as_writable_bytes(std::span(out)));
  return out;
}

int64_t Wire::integer() const {
  require_type(0);
  return static_cast<int64_t>(value_);
}

float Wire::number32() const {
  require_type(5);
  return std::bit_cast<float>(static_cast<uint32_t>(value_));
}

uint64_t Wire::begin() const {
  require_type(2);
  return begin_;
}

uint64_t Wire::size() const {
  require_type(2);
  return length_;
}

void Wire::broken(const char* what) const {
  refuse(Problem::kInvalid,
         "not an ONNX model: " + std::string(what) + " at byte " + std::to_string(at_) +
             "; an incomplete download?");
}

}  // namespace lorapress::engine
