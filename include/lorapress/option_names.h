// Messages of the library name fields of the call's options, as in "options.num_beams 99". Whoever takes options under
// other names (the program's flags, keys of the C ABI) gives messages these names.
#ifndef LORAPRESS_OPTION_NAMES_H_
#define LORAPRESS_OPTION_NAMES_H_

#include <functional>
#include <string>
#include <string_view>

namespace lorapress {

// `name_of` gets a field ("num_beams", and "dtype" for the field `dtypes`, which is given under that name everywhere)
// and returns what replaces "options.FIELD", or nothing for a field that it does not know. Names of files, as in
// "a/options.json", stay.
std::string rename_options(std::string_view text,
                           const std::function<std::string(std::string_view field)>& name_of);

}  // namespace lorapress

#endif  // LORAPRESS_OPTION_NAMES_H_
