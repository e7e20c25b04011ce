// Fields of a protobuf message, one by one.
#ifndef LORAPRESS_ENGINE_WIRE_H_
#define LORAPRESS_ENGINE_WIRE_H_

#include <array>
#include <string>

#include "engine/source.h"

namespace lorapress::engine {

// Bytes of a file through a small buffer, and how much of it has been kept in memory.
class WireBytes {
 public:
  explicit WireBytes(const Source& source) : source_(source) {}
  [[nodiscard]] uint64_t size() const { return source_.size(); }
  uint8_t at(uint64_t at);
  void copy(uint64_t from, std::span<std::byte> out);
  // Refuses a file whose graph without weights takes more than 64 MiB.
  void keep(uint64_t bytes);

 private:
  const Source& source_;
  std::array<std::byte, 16384> window_{};
  uint64_t begin_ = 0;
  uint64_t size_ = 0;
  uint64_t kept_ = 0;
};

class Wire {
 public:
  Wire(WireBytes& bytes, uint64_t begin, uint64_t end) : bytes_(bytes), at_(begin), end_(end) {}

  // Goes to the next field; false at the end.
  bool next();
  [[nodiscard]] uint32_t number() const { return number_; }
  // The content. A field of another wire type than asked for is no ONNX.
  [[nodiscard]] Wire message() const;
  [[nodiscard]] std::string text() const;
  [[nodiscard]] int64_t integer() const;
  [[nodiscard]] float number32() const;
  // Calls add(int64_t) for one varint or a packed row of them.
  template <typename Add>
  void integers(const Add& add) const {
    if (type_ == 0) {
      add(static_cast<int64_t>(value_));
      return;
    }
    Wire row = message();
    while (row.at_ != row.end_) {
      add(static_cast<int64_t>(row.varint()));
    }
  }
  [[nodiscard]] uint64_t begin() const;  // of a field with a length
  [[nodiscard]] uint64_t size() const;
  [[noreturn]] void broken(const char* what) const;
  [[nodiscard]] WireBytes& bytes() const { return bytes_; }

 private:
  uint64_t varint();
  void require_type(uint32_t type) const;

  WireBytes& bytes_;
  uint64_t at_;
  uint64_t end_;
  uint32_t number_ = 0;
  uint32_t type_ = 0;
  uint64_t value_ = 0;  // of a varint or 4 bytes
  uint64_t begin_ = 0;
  uint64_t length_ = 0;
};

}  // namespace lorapress::engine

#endif  // LORAPRESS_ENGINE_WIRE_H_
