// LoraPress: start here.
//
//   press.h     a checkpoint becomes a folder that a browser runs
//   merge.h     adapters merged into a plain checkpoint
//   quantize.h  any .onnx file with smaller weights
//   verify.h    what such a folder costs against its checkpoint
//   score.h     what captions are worth against references
//   trace.h     such a folder against a fidelity trace, without the checkpoint
//   caption.h   captions images with such a folder
//   generate.h  generates text with a folder of a decoder alone
//   bench.h     how fast such a folder is
//   serve.h     such folders, and pages, for browsers
//   deploy.h    such a folder as a static site
//   upload.h    and on a model hub
//   watch.h     such folders while a training runs
//   inspect.h   what a file or folder is
//   families.h  what can be pressed
//   version.h   which LoraPress this is, and of what
//   source.h    how to say what to read
//   report_json.h  reports as JSON
//   error.h     the one exception type
//   c_api.h     the same for other languages, in plain C
//
// The library never prints and never exits; long calls report through a ProgressFn.
#ifndef LORAPRESS_LORAPRESS_H_
#define LORAPRESS_LORAPRESS_H_

#include "lorapress/bench.h"
#include "lorapress/caption.h"
#include "lorapress/deploy.h"
#include "lorapress/error.h"
#include "lorapress/families.h"
#include "lorapress/generate.h"
#include "lorapress/inspect.h"
#include "lorapress/merge.h"
#include "lorapress/press.h"
#include "lorapress/quantize.h"
#include "lorapress/report_json.h"
#include "lorapress/score.h"
#include "lorapress/serve.h"
#include "lorapress/source.h"
#include "lorapress/trace.h"
#include "lorapress/upload.h"
#include "lorapress/verify.h"
#include "lorapress/version.h"
#include "lorapress/watch.h"

#endif  // LORAPRESS_LORAPRESS_H_
