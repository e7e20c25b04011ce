// The rows of a verify: dtypes of a folder, each with the engine that runs it.
#ifndef LORAPRESS_API_VERIFY_ROWS_H_
#define LORAPRESS_API_VERIFY_ROWS_H_

#include <memory>
#include <string>
#include <vector>

#include "lorapress/verify.h"

#include "bundles/manifest.h"
#include "verify/folder_model.h"

namespace lorapress {

// Throws kInvalidArgument for an engine that is none.
void check_verify_engine(const std::string& engine);

// Rows without results, in the order of options.dtypes, else the folder's default first. Claims of the manifest that a
// graph does not keep go to `faults`. Throws kNotFound and kUnsupported for a dtype that the folder lacks.
std::vector<DtypeParity> verify_rows(const VerifyOptions& options,
                                     const Manifest& manifest,
                                     std::vector<std::string>& faults);

// The row's graphs. Where "auto" meets one that the project's own engine does not know, the row becomes ONNX Runtime's,
// and `notes` says so. Throws as open_folder_model(). REQUIRES: `manifest` outlives it.
std::unique_ptr<FolderModel> open_row(const VerifyOptions& options,
                                      const Manifest& manifest,
                                      DtypeParity& row,
                                      std::vector<std::string>& notes);

}  // namespace lorapress

#endif  // LORAPRESS_API_VERIFY_ROWS_H_
