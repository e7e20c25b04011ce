#include "hub/cache.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "base/fail.h"
#include "base/file.h"

namespace lorapress {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxSmallFile = 1 << 12;  // a token, a ref

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

fs::path hub_home() {
  if (const std::string home = variable("HF_HOME"); !home.empty()) {
    return home;
  }
  const std::string xdg = variable("XDG_CACHE_HOME");
  return (xdg.empty() ? sys::home_folder() / ".cache" : fs::path(xdg)) / "huggingface";
}

std::string first_line(const fs::path& file) {
  const std::string text = read_text(file, kMaxSmallFile);
  return text.substr(0, text.find_first_of("\r\n"));
}

}  // namespace

fs::path default_hub_cache() {
  const std::string cache = variable("HF_HUB_CACHE");
  return cache.empty() ? hub_home() / "hub" : fs::path(cache);
}

std::string hub_token() {
  if (std::string token = variable("HF_TOKEN"); !token.empty()) {
    return token;
  }
  const std::string named = variable("HF_TOKEN_PATH");
  const fs::path file = named.empty() ? hub_home() / "token" : fs::path(named);
  return fs::is_regular_file(file) ? first_line(file) : "";
}

HubCache::HubCache(fs::path root, const HubName& name)
    : root_(std::move(root)), revision_(name.revision) {
  const size_t slash = name.repository.find('/');
  folder_ = fmt::format(
      "models--{}--{}", name.repository.substr(0, slash), name.repository.substr(slash + 1));
}

std::optional<std::string> HubCache::commit() const {
  if (is_hex(revision_, 40)) {
    return revision_;
  }
  const fs::path ref = root_ / folder_ / "refs" / revision_;
  if (!fs::is_regular_file(ref)) {
    return std::nullopt;
  }
  std::string commit = first_line(ref);
  return is_hex(commit, 40) ? std::optional(std::move(commit)) : std::nullopt;
}

void HubCache::set_commit(const std::string& commit) const {
  if (commit == revision_ || this->commit() == commit) {
    return;
  }
  const fs::path ref = root_ / folder_ / "refs" / revision_;
  const fs::path fresh = ref.string() + fmt::format(".{}.tmp", sys::process_id());
  fs::create_directories(ref.parent_path());
  write_text(fresh, commit);
  fs::rename(fresh, ref);
}

fs::path HubCache::snapshot(const std::string& commit) const {
  return root_ / folder_ / "snapshots" / commit;
}

fs::path HubCache::blob(std::string_view etag) const {
  return root_ / folder_ / "blobs" / etag;
}

void HubCache::link(const std::string& commit,
                    const std::string& file,
                    std::string_view etag) const {
  const fs::path pointer = snapshot(commit) / file;
  if (fs::exists(pointer)) {
    return;
  }
  fs::create_directories(pointer.parent_path());
  fs::path target = "../..";  // of snapshots/COMMIT
  for (size_t depth = static_cast<size_t>(std::ranges::count(file, '/')); depth > 0; --depth) {
    target /= "..";
  }
  target = target / "blobs" / etag;
  // Under another name first: another process may make the same link, and a broken one may lie there.
  const fs::path fresh = pointer.string() + fmt::format(".{}.tmp", sys::process_id());
  std::error_code error;
  fs::create_symlink(target.make_preferred(), fresh, error);
  if (error) {
    fs::create_hard_link(blob(etag), fresh);
  }
  fs::rename(fresh, pointer);
}

HubCache::Lock::Lock(const HubCache& cache, std::string_view etag) {
  const fs::path file = cache.root_ / ".locks" / cache.folder_ / (std::string(etag) + ".lock");
  fs::create_directories(file.parent_path());
  file_ = sys::Descriptor(sys::open_file(file, sys::OpenAs::kEither));
  if (!file_.valid() || !sys::wait_lock(file_.get())) {
    fail(ErrorCode::kIo, "{}: {}", file.string(), error_text(errno));
  }
}

}  // namespace lorapress
