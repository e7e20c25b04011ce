#include "lorapress/upload.h"

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#if defined(__APPLE__)
#include <crt_externs.h>
#endif
#if !defined(_WIN32)
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

#include "api/folder_files.h"
#include "api/pressed_folder.h"
#include "base/fail.h"
#include "base/file.h"
#include "base/json.h"
#include "base/system.h"
#include "bundles/manifest.h"
#include "bundles/model_card.h"

namespace lorapress {
namespace {

namespace fs = std::filesystem;

// argv[1]: the job as JSON. Prints {commit, url}, or one line on standard error. A tag that exists is never moved: pinned
// revisions are stored for ever.
constexpr const char* kClient = R"(
import json, os, sys
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
try:
    import huggingface_hub as hub
except ImportError:
    sys.exit("no huggingface_hub")
job = json.load(open(sys.argv[1], encoding="utf-8"))
api = hub.HfApi()
try:
    api.create_repo(job["repository"], private=job["private"], exist_ok=True)
    if job["tag"] and job["tag"] in [ref.name for ref in api.list_repo_refs(job["repository"]).tags]:
        sys.exit("the tag " + job["tag"] + " exists there, nothing was uploaded")
    files = [hub.CommitOperationAdd(name, path) for name, path in job["files"].items()]
    files += [hub.CommitOperationAdd(name, text.encode()) for name, text in job["texts"].items()]
    done = api.create_commit(job["repository"], files, commit_message=job["message"])
    if job["tag"]:
        api.create_tag(job["repository"], tag=job["tag"], revision=done.oid)
except Exception as error:
    sys.exit(" ".join(f"{type(error).__name__}: {error}".split()))
print(json.dumps({"commit": done.oid, "url": str(done.commit_url)}))
)";
constexpr std::string_view kNoClient = "no huggingface_hub";

// A folder that nobody else reads; the job names files of this machine.
class JobFolder {
 public:
  JobFolder() : path_(sys::make_private_folder()) {
    if (path_.empty()) {
      fail(ErrorCode::kIo, "{}: {}", fs::temp_directory_path().string(), std::strerror(errno));
    }
  }
  ~JobFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  JobFolder(const JobFolder&) = delete;
  JobFolder& operator=(const JobFolder&) = delete;
  [[nodiscard]] fs::path file(const char* name) const { return path_ / name; }

 private:
  fs::path path_;
};

std::string python_of(const UploadOptions& options) {
  if (!options.python.empty()) {
    return options.python;
  }
  const char* named = std::getenv("LORAPRESS_PYTHON");
  return named != nullptr && *named != '\0' ? named : "python3";
}

#if defined(_WIN32)
int run_client(const std::string& /*python*/, const JobFolder& /*folder*/) {
  fail(ErrorCode::kUnsupported,
       "upload does not run on Windows; upload the folder with the hub's own client (hf upload)");
}
#else
#if defined(__APPLE__)
char** environment() {
  return *_NSGetEnviron();  // a shared library has no environ
}
#else
char** environment() {
  return environ;
}
#endif

// Runs the client with its streams in files; returns its exit status, -1 where it cannot be run or was killed.
int run_client(const std::string& python, const JobFolder& folder) {
  std::string program = python;
  std::string flag = "-c";
  std::string script = kClient;
  std::string job = folder.file("job.json").string();
  std::array<char*, 5> words = {program.data(), flag.data(), script.data(), job.data(), nullptr};
  const std::string out = folder.file("out").string();
  const std::string err = folder.file("err").string();
  constexpr mode_t kOwner = 0600;
  posix_spawn_file_actions_t streams;
  posix_spawn_file_actions_init(&streams);
  posix_spawn_file_actions_addopen(&streams, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(
      &streams, STDOUT_FILENO, out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, kOwner);
  posix_spawn_file_actions_addopen(
      &streams, STDERR_FILENO, err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, kOwner);
  pid_t child = -1;
  const int error =
      posix_spawnp(&child, program.c_str(), &streams, nullptr, words.data(), environment());
  posix_spawn_file_actions_destroy(&streams);
  int status = -1;
  if (error != 0) {
    return -1;
  }
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) {
      return -1;
    }
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
#endif

// The last line that is not empty: what sys.exit() says, behind warnings of libraries.
std::string last_line(const fs::path& file) {
  constexpr uint64_t kMost = uint64_t{16} << 20;
  std::string text = fs::exists(file) ? read_text(file, kMost) : "";
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) {
    text.pop_back();
  }
  return text.substr(text.rfind('\n') + 1);
}

Json job_of(const UploadOptions& options, const Manifest& manifest, UploadReport& report) {
  Json files = Json::object();
  const auto add = [&](const std::string& name) {
    const fs::path path = fs::absolute(options.model / name);
    files[name] = path.string();
    report.files += 1;
    report.bytes += fs::file_size(path);
  };
  for (const ManifestFile& file : manifest.files) {
    require_whole(options.model, file);
    add(file.path);
  }
  add(kManifestName);
  const HubPlace place{options.repository, options.tag.empty() ? "main" : options.tag};
  const std::string card = card_of_folder(options.model, options.card, place);
  report.files += 1;
  report.bytes += card.size();
  return {
      {"repository", options.repository},
      {"tag", options.tag},
      {"private", options.is_private},
      {"message",
       options.message.empty() ? fmt::format("lorapress {}", LORAPRESS_VERSION) : options.message},
      {"files", files},
      {"texts", {{kModelCard, card}}}};
}

UploadReport upload_folder(const UploadOptions& options) {
  check_hub_place({options.repository, options.tag.empty() ? "main" : options.tag});
  UploadReport report;
  const Manifest manifest = read_manifest(options.model);
  const Json job = job_of(options, manifest, report);
  const JobFolder folder;
  write_text(folder.file("job.json"), job.dump());
  const std::string python = python_of(options);
  const int status = run_client(python, folder);
  if (status != 0) {
    const std::string words = last_line(folder.file("err"));
    if (status < 0 || words.empty() || words == kNoClient) {
      fail(
          ErrorCode::kNotFound,
          "{}: no Python with huggingface_hub, the hub's client; `pip install huggingface_hub`, or name "
          "another Python by LORAPRESS_PYTHON",
          python);
    }
    fail(ErrorCode::kIo, "{}: {}", options.repository, words);
  }
  const Json done = Json::parse(last_line(folder.file("out")), nullptr, false);
  if (!done.is_object()) {
    fail(ErrorCode::kIo, "{}: the hub's client does not say what it did", options.repository);
  }
  report.commit = json_get<std::string>(done, "commit", options.repository);
  report.url = json_get<std::string>(done, "url", options.repository);
  return report;
}

}  // namespace

UploadReport upload(const UploadOptions& options) {
  return with_file_errors([&] { return upload_folder(options); });
}

}  // namespace lorapress
