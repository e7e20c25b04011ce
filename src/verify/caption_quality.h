// What the captions of a report are worth against those that people wrote.
#ifndef LORAPRESS_VERIFY_CAPTION_QUALITY_H_
#define LORAPRESS_VERIFY_CAPTION_QUALITY_H_

#include <optional>

#include "lorapress/verify.h"

#include "score/caption_file.h"

namespace lorapress {

// Reads VerifyOptions::references before anything is computed; none where it is empty. Throws kInvalidArgument
// without options.images, and as read_caption_file().
std::optional<CaptionFile> read_references(const VerifyOptions& options);

// Fills `quality` of the report and of its dtypes, over the images with references; a note says how many have none.
// Throws kMismatch where no image has any.
void add_caption_quality(const VerifyOptions& options,
                         const CaptionFile& references,
                         VerifyReport& report);

}  // namespace lorapress

#endif  // LORAPRESS_VERIFY_CAPTION_QUALITY_H_
