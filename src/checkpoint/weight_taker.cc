#include <algorithm>

#include "base/fail.h"
#include "checkpoint/checkpoint.h"

namespace lorapress {

// Names joined for a message; very many are cut off.
std::string listed(const std::vector<std::string>& names) {
  constexpr size_t kMost = 100;
  const auto shown = std::span(names).first(std::min(names.size(), kMost));
  const std::string rest =
      names.size() > kMost ? fmt::format(" and {} more", names.size() - kMost) : "";
  return fmt::format("{}{}", fmt::join(shown, ", "), rest);
}

WeightPtr WeightTaker::take(const std::string& name, const Shape& shape) {
  const auto found = checkpoint_.tensors.find(name);
  taken_.insert(name);
  if (found == checkpoint_.tensors.end()) {
    missing_.push_back(fmt::format("{} [{}]", name, fmt::join(shape, ", ")));
    faulty_.insert(name);
  } else if (found->second.weight->shape() != shape) {
    misshapen_.push_back(fmt::format("{} is [{}], expected [{}]",
                                     name,
                                     fmt::join(found->second.weight->shape(), ", "),
                                     fmt::join(shape, ", ")));
    faulty_.insert(name);
  } else if (!dtype_row(found->second.weight->dtype()).is_float) {
    misshapen_.push_back(fmt::format(
        "{} is {}, expected a float dtype", name, dtype_name(found->second.weight->dtype())));
    faulty_.insert(name);
  } else {
    return found->second.weight;
  }
  return zeros(DType::kF32, shape);
}

uint64_t WeightTaker::drop(const std::string& prefix) {
  uint64_t bytes = 0;
  for (const auto& [name, tensor] : checkpoint_.tensors) {
    if (name.starts_with(prefix)) {
      taken_.insert(name);
      bytes += tensor.weight->bytes();
    }
  }
  return bytes;
}

// "FOLDERS: tensors do not match CONFIGS".
std::string WeightTaker::at_fault(const std::set<std::string>& names) const {
  std::set<std::string> folders;
  std::set<std::string> configs;
  for (const std::string& name : names) {
    const std::string component = name.substr(0, name.find('.'));
    const auto where = checkpoint_.config_where.find(component);
    if (where != checkpoint_.config_where.end()) {
      configs.insert(where->second);
    }
    const auto found = checkpoint_.tensors.find(name);
    if (found != checkpoint_.tensors.end() && !found->second.folder.empty()) {
      folders.insert(found->second.folder);
      continue;
    }
    for (const auto& [other, tensor] : checkpoint_.tensors) {  // the folders of its neighbours
      if (other.starts_with(component + ".") && !tensor.folder.empty()) {
        folders.insert(tensor.folder);
        break;
      }
    }
  }
  if (folders.empty()) {
    folders.insert(checkpoint_.folder.string());
  }
  std::vector<std::string> asking;
  for (const std::string& config : configs) {
    const std::string own = *folders.begin() + "/";
    asking.push_back(config.starts_with(own) && folders.size() == 1 ? config.substr(own.size())
                                                                    : config);
  }
  return fmt::format(
      "{}: tensors do not match {}",
      fmt::join(folders, " and "),
      asking.empty() ? "config.json" : fmt::format("{}", fmt::join(asking, " and ")));
}

void WeightTaker::finish(const std::vector<std::string>& prefixes) const {
  std::vector<std::string> unused;
  std::set<std::string> faulty = faulty_;
  for (const auto& [name, tensor] : checkpoint_.tensors) {
    const bool ours = std::ranges::any_of(
        prefixes, [&](const std::string& prefix) { return name.starts_with(prefix); });
    if (ours && !taken_.contains(name)) {
      unused.push_back(name);
      faulty.insert(name);
    }
  }
  std::string message;
  const auto report = [&](std::string_view what, const std::vector<std::string>& names) {
    if (!names.empty()) {
      message += fmt::format(
          "{}{} {}: {}", message.empty() ? "" : "; ", names.size(), what, listed(names));
    }
  };
  report("missing", missing_);
  report("of the wrong shape or dtype", misshapen_);
  report("unused (is config.json of another model?)", unused);
  if (!message.empty()) {
    fail(ErrorCode::kMismatch, "{}: {}", at_fault(faulty), message);
  }
}

}  // namespace lorapress
