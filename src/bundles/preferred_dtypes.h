// "preferred_dtypes" of lorapress.json: for each backend of the web package the folder's dtypes, the
// preferred one first.
#ifndef LORAPRESS_BUNDLES_PREFERRED_DTYPES_H_
#define LORAPRESS_BUNDLES_PREFERRED_DTYPES_H_

#include <map>
#include <string>
#include <vector>

#include "base/json.h"

namespace lorapress {

using GraphTable = std::map<std::string, std::map<std::string, std::string>>;  // of a Manifest

Json preferred_dtypes_json(std::vector<std::string> dtypes);
// Throws kInvalidFile. Only a check: the web package uses the lists.
void check_preferred_dtypes(const Json& json, const std::string& where, const GraphTable& graphs);

}  // namespace lorapress

#endif  // LORAPRESS_BUNDLES_PREFERRED_DTYPES_H_
