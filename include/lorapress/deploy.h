// Makes a static site of a pressed folder: the demo page, its runtime, the model, and the headers that threads in
// WebAssembly need, for common hosts.
#ifndef LORAPRESS_DEPLOY_H_
#define LORAPRESS_DEPLOY_H_

#include <filesystem>
#include <string>
#include <vector>

#include "lorapress/error.h"
#include "lorapress/merge.h"

namespace lorapress {

// What the model card says beside the folder's own facts.
struct ModelCardOptions {
  std::filesystem::path report;         // written by `lorapress verify --json`; empty: none
  std::string license;                  // an identifier such as apache-2.0; empty: not known
  std::vector<std::string> base_model;  // ORG/NAME; none: those that the checkpoint's configs name
};

struct DeployOptions {
  std::filesystem::path
      model;                   // a folder that press() wrote, of a bundle that captions in browsers
  std::filesystem::path site;  // folder to write
  // The built page (web/build/demo of the sources); empty: LORAPRESS_PAGE, or what lies beside the program.
  std::filesystem::path page;
  ModelCardOptions card;
  bool force = false;  // replaces a site that deploy() wrote
};

struct DeployReport {
  std::vector<OutputFileInfo> files;
  std::vector<std::string> notes;
};

// Writes
//   SITE/index.html, *.js, style.css, engine/, ort/   the page and its runtime
//   SITE/model/                                  the files of lorapress.json, and README.md, the model card
//   SITE/_headers, .htaccess, vercel.json        COOP and COEP for Netlify and Cloudflare, Apache, Vercel
//   SITE/isolate.js, isolation-worker.js         the same by a service worker, where a host cannot send them
// Throws Error: kNotFound without page or model, kUnsupported for another bundle, kInvalidFile where the model is not
// whole. `site` appears whole or not at all.
DeployReport deploy(const DeployOptions& options);

}  // namespace lorapress

#endif  // LORAPRESS_DEPLOY_H_
