#include "engine/module/host_files.h"

#include <algorithm>
#include <cstring>

#include "engine/module/module.h"

namespace lorapress::engine {
namespace {

constexpr uint64_t kSmall = uint64_t{32}
                            << 10;  // of tensors that are kept, so that their chunks need not be

}  // namespace

class HostFiles::File final : public Source {
 public:
  File(int32_t number, uint64_t size) : number_(number), size_(size) {}

  [[nodiscard]] uint64_t size() const override { return size_; }

  void read(uint64_t offset, std::span<std::byte> out) const override {
    Range* range = find(offset);
    if (range != nullptr && !range->kept.empty() && offset + out.size() <= range->end) {
      std::memcpy(out.data(), range->kept.data() + (offset - range->begin), out.size());
      return;
    }
    lp_host_read(
        number_, static_cast<double>(offset), out.data(), static_cast<uint32_t>(out.size()));
    if (range != nullptr && range->left > 0 && offset + out.size() <= range->end) {
      range->left -= std::min<uint64_t>(range->left, out.size());
      if (range->left == 0) {
        let_go(*range);
      }
    }
  }

  void add(const TensorDef& tensor, unsigned times) {
    uint64_t end = 0;
    if (tensor.bytes > 0 && !__builtin_add_overflow(tensor.offset, tensor.bytes, &end) &&
        end <= size_) {
      ranges_.push_back({tensor.offset, end, 0, tensor.bytes * times, {}});
    }
  }

  // What lies between tensors belongs to the one behind it. Tensors that overlap are let go at the end.
  void settle() {
    std::sort(ranges_.begin(), ranges_.end(), [](const Range& a, const Range& b) {
      return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
    });
    uint64_t at = 0;
    std::vector<Range> apart;
    for (Range& range : ranges_) {
      if (range.begin < at) {
        if (!apart.empty()) {
          apart.back().end = std::max(apart.back().end, range.end);
          apart.back().left = 0;
          at = apart.back().end;
        }
        continue;
      }
      range.from = at;
      at = range.end;
      apart.push_back(std::move(range));
    }
    ranges_ = std::move(apart);
    for (Range& range : ranges_) {
      if (range.left > 0 && range.end - range.begin <= kSmall) {
        std::vector<std::byte> kept(static_cast<size_t>(range.end - range.begin));
        lp_host_read(number_,
                     static_cast<double>(range.begin),
                     kept.data(),
                     static_cast<uint32_t>(kept.size()));
        range.kept = std::move(kept);
        range.left = 0;
        let_go(range);
      }
    }
  }

  void let_go_of_the_rest() {
    uint64_t at = 0;
    for (Range& range : ranges_) {
      at = range.end;
      let_go(range);
    }
    if (at < size_) {
      lp_host_done(number_, static_cast<double>(at), static_cast<double>(size_));
    }
  }

 private:
  struct Range {
    uint64_t begin;
    uint64_t end;
    uint64_t from;  // where the range before ends
    uint64_t left;  // bytes that are still to be read; 0: it is not counted
    std::vector<std::byte> kept;
    bool gone = false;
  };

  void let_go(Range& range) const {
    if (!range.gone) {
      range.gone = true;
      lp_host_done(number_, static_cast<double>(range.from), static_cast<double>(range.end));
    }
  }

  [[nodiscard]] Range* find(uint64_t offset) const {
    const auto behind = std::upper_bound(
        ranges_.begin(), ranges_.end(), offset, [](uint64_t at, const Range& range) {
          return at < range.begin;
        });
    return behind == ranges_.begin() || offset >= (behind - 1)->end ? nullptr : &*(behind - 1);
  }

  int32_t number_;
  uint64_t size_;
  mutable std::vector<Range> ranges_;
};

HostFiles::HostFiles(std::vector<HostFile> files) {
  for (HostFile& file : files) {
    sources_.push_back(std::make_shared<File>(static_cast<int32_t>(sources_.size()), file.size));
    names_.push_back(std::move(file.name));
  }
}

HostFiles::~HostFiles() {
  for (const std::shared_ptr<File>& file : sources_) {
    file->let_go_of_the_rest();
  }
}

const Source& HostFiles::graph() const {
  return *sources_[0];
}

std::shared_ptr<const Source> HostFiles::open(const std::string& name) const {
  for (size_t i = 1; i < names_.size(); ++i) {
    if (names_[i] == name) {
      return sources_[i];
    }
  }
  refuse(Problem::kInvalid, "external data in " + name + ", which is none of the graph's files");
}

void HostFiles::expect(std::span<const ExpectedReads> reads) const {
  for (const ExpectedReads& read : reads) {
    const TensorDef& tensor = *read.tensor;
    for (size_t i = 0; i < sources_.size() && tensor.values.empty(); ++i) {
      if (i == 0 ? tensor.file.empty() : tensor.file == names_[i]) {
        sources_[i]->add(tensor, read.times);
      }
    }
  }
  for (const std::shared_ptr<File>& file : sources_) {
    file->settle();
  }
}

}  // namespace lorapress::engine
