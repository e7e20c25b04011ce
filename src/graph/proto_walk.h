// Reads the fields of a protobuf message in a file one by one, without loading the message: the
// file may be larger than memory and is not trusted.
#ifndef LORAPRESS_GRAPH_PROTO_WALK_H_
#define LORAPRESS_GRAPH_PROTO_WALK_H_

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/file.h"

namespace lorapress {

// Field numbers of onnx/onnx.proto.
inline constexpr uint32_t kModelGraph = 7;
inline constexpr uint32_t kGraphInitializer = 5;
inline constexpr uint32_t kTensorRawData = 9;

// Reads single bytes of a file through a small buffer.
class ProtoBytes {
 public:
  explicit ProtoBytes(const InputFile& file) : file_(file) {}

  [[nodiscard]] const InputFile& file() const { return file_; }
  std::byte at(uint64_t at);  // REQUIRES: at < file().size()
  // REQUIRES: the bytes lie in the file.
  void copy(uint64_t from, std::span<std::byte> out);

 private:
  const InputFile& file_;
  std::array<std::byte, 4096> window_{};
  uint64_t begin_ = 0;
  size_t size_ = 0;
};

struct ProtoField {
  uint32_t number;
  uint32_t wire_type;  // kVarint, ...
  uint64_t begin;      // of the content; the tag itself starts at `tag`
  uint64_t end;
  uint64_t tag;
  [[nodiscard]] uint64_t size() const { return end - begin; }
};
inline constexpr uint32_t kWireVarint = 0;
inline constexpr uint32_t kWireBytes = 2;  // strings, messages, packed numbers

// A span of the file that holds one message; fields are visited in order. Throws kInvalidFile for
// malformed protobuf.
class ProtoMessage {
 public:
  ProtoMessage(ProtoBytes& bytes, uint64_t begin, uint64_t end)
      : bytes_(bytes), at_(begin), end_(end) {}
  ProtoMessage(ProtoBytes& bytes, const ProtoField& field)
      : ProtoMessage(bytes, field.begin, field.end) {}

  bool next(ProtoField& field);  // false at the end
  // Appends the whole field, tag included. One field may have 64 MiB, `out` 512 MiB.
  void append(const ProtoField& field, std::string& out) const;
  [[noreturn]] void broken(std::string_view what) const;

 private:
  uint64_t varint();

  ProtoBytes& bytes_;
  uint64_t at_;
  uint64_t end_;
};

// For code that writes protobuf by hand. field_header() is the tag and length of a length-delimited
// field.
void append_varint(std::string& out, uint64_t value);
std::string field_header(uint32_t field, uint64_t length);

}  // namespace lorapress

#endif  // LORAPRESS_GRAPH_PROTO_WALK_H_
