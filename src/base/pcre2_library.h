// PCRE2's header for code that links its archive, which Windows tells from its DLL.
// REQUIRES: PCRE2_CODE_UNIT_WIDTH is defined.
#ifndef LORAPRESS_BASE_PCRE2_LIBRARY_H_
#define LORAPRESS_BASE_PCRE2_LIBRARY_H_

#if defined(_WIN32)
#define PCRE2_STATIC
#endif
#include <pcre2.h>

#endif  // LORAPRESS_BASE_PCRE2_LIBRARY_H_
