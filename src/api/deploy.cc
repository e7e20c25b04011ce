#include "lorapress/deploy.h"

#include <algorithm>
#include <array>
#include <cstdlib>

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

constexpr const char* kModelFolder = "model";
constexpr const char* kIsolation = "isolate.js";  // of the page: registers the service worker

constexpr std::array<std::pair<const char*, const char*>, 4> kSiteHeaders{
    {{"Cross-Origin-Opener-Policy", "same-origin"},
     {"Cross-Origin-Embedder-Policy", "require-corp"},
     {"Cross-Origin-Resource-Policy", "same-origin"},
     {"X-Content-Type-Options", "nosniff"}}};

bool is_site(const fs::path& folder) {
  return fs::exists(folder / kModelFolder / kManifestName) && fs::exists(folder / kIsolation);
}

const Replaceable kOwnSites{is_site, "a site that LoraPress wrote (with model/lorapress.json)"};

// The hosts' own files for headers: Netlify and Cloudflare Pages, Apache, Vercel. GitHub Pages sends no headers of
// one's own, and without .nojekyll leaves out some names.
TextFiles header_files() {
  std::string plain = "/*\n";
  std::string apache = "<IfModule mod_headers.c>\n";
  Json vercel = Json::array();
  for (const auto& [name, value] : kSiteHeaders) {
    plain += fmt::format("  {}: {}\n", name, value);
    apache += fmt::format("  Header set {} \"{}\"\n", name, value);
    vercel.push_back({{"key", name}, {"value", value}});
  }
  apache +=
      "</IfModule>\n<IfModule mod_mime.c>\n  AddType application/wasm .wasm\n"
      "  AddType text/javascript .js .mjs\n  AddType application/octet-stream .onnx .onnx_data\n"
      "</IfModule>\n";
  const Json rules = {{"headers", {{{"source", "/(.*)"}, {"headers", vercel}}}}};
  return {{"_headers", plain},
          {".htaccess", apache},
          {"vercel.json", rules.dump(2) + "\n"},
          {".nojekyll", ""}};
}

// The built page: as given, or where the variable, an installation or a build from source has it.
fs::path find_page(const DeployOptions& options) {
  if (!options.page.empty()) {
    return options.page;
  }
  std::vector<fs::path> places;
  if (const char* named = std::getenv("LORAPRESS_PAGE"); named != nullptr && *named != '\0') {
    places.emplace_back(named);
  } else {
    const fs::path folder = sys::program_path().parent_path();
    places = {folder / "../share/lorapress/page", folder / "../web/build/demo"};
  }
  std::vector<std::string> names;
  for (const fs::path& place : places) {
    names.push_back(place.lexically_normal().string());
    if (fs::exists(place / kIsolation)) {
      return place.lexically_normal();
    }
  }
  fail(
      ErrorCode::kNotFound,
      "no built page in {}; `make page` builds it in web/build/demo, and options.page names another folder",
      fmt::join(names, " or "));
}

void check_page(const fs::path& page) {
  for (const char* name : {"index.html", "lorapress.js", "worker.js", kIsolation}) {
    if (!fs::is_regular_file(page / name)) {
      fail(ErrorCode::kNotFound,
           "{}: no {}; expected the page that `make page` builds in web/build/demo",
           page.string(),
           name);
    }
  }
}

void check_bundle(const fs::path& folder, const Manifest& manifest) {
  constexpr std::array<std::string_view, 4> kRuns = {
      "transformers.js", "firefox", "llava", "smolvlm"};
  if (std::ranges::find(kRuns, manifest.bundle) == kRuns.end()) {
    fail(ErrorCode::kUnsupported,
         "{}: bundle \"{}\", the page runs folders of {}",
         folder.string(),
         manifest.bundle,
         fmt::join(kRuns, ", "));
  }
}

// Without the model of an earlier page, which lies in the same place, and hidden files.
void copy_page(const fs::path& page, const fs::path& site) {
  for (const OutputFileInfo& file : list_files(page)) {
    if (file.path.starts_with(std::string(kModelFolder) + "/") || file.path.starts_with('.')) {
      continue;
    }
    fs::create_directories((site / file.path).parent_path());
    lorapress::copy_file(page / file.path, site / file.path);
  }
}

void copy_model(const fs::path& model, const Manifest& manifest, const fs::path& place) {
  for (const ManifestFile& file : manifest.files) {
    require_whole(model, file);
    fs::create_directories((place / file.path).parent_path());
    lorapress::copy_file(model / file.path, place / file.path);
  }
  lorapress::copy_file(model / kManifestName, place / kManifestName);
}

void note_large_files(const std::vector<OutputFileInfo>& files, std::vector<std::string>& notes) {
  constexpr uint64_t kMost = uint64_t{25} << 20;
  std::vector<std::string> large;
  for (const OutputFileInfo& file : files) {
    if (file.bytes > kMost) {
      large.push_back(file.path);
    }
  }
  if (!large.empty()) {
    notes.push_back(fmt::format("larger than 25 MiB, which Cloudflare Pages does not take: {}",
                                fmt::join(large, ", ")));
  }
}

DeployReport write_site(const DeployOptions& options) {
  const Manifest manifest = read_manifest(options.model);
  check_bundle(options.model, manifest);
  const fs::path page = find_page(options);
  check_page(page);
  const std::string card = card_of_folder(options.model, options.card);
  protect_sources(options.site, {options.model, page});
  StagedOutput staged(options.site, options.force, kOwnSites);
  DeployReport made = staged.fill([&](const fs::path& site) {
    copy_page(page, site);
    copy_model(options.model, manifest, site / kModelFolder);
    write_text(site / kModelFolder / kModelCard, card);
    write_text_files(site, header_files());
    DeployReport report;
    report.files = list_files(site);
    note_large_files(report.files, report.notes);
    return report;
  });
  std::ranges::copy(staged.notes(), std::back_inserter(made.notes));
  return made;
}

}  // namespace

DeployReport deploy(const DeployOptions& options) {
  return with_file_errors([&] { return write_site(options); });
}

}  // namespace lorapress
