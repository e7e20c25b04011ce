// Where in the model an error begins: the normalised hidden stream behind every layer, in an ONNX
// file and in the reference.
#ifndef LORAPRESS_VERIFY_LAYER_ERRORS_H_
#define LORAPRESS_VERIFY_LAYER_ERRORS_H_

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lorapress/verify.h"

#include "verify/distance.h"
#include "verify/folder_model.h"
#include "verify/parity.h"
#include "verify/reference.h"

namespace lorapress {

// The activations of a few images at every point, kept from one pass of the reference with its own
// caption forced.
class LayerProbe {
 public:
  // Runs the reference. REQUIRES: all arguments outlive the probe.
  LayerProbe(ReferenceModel& reference,
             const Checkpoint& checkpoint,
             std::span<const ReferenceImage> images);

  // Runs copies of both graphs that also give these activations. Points that a file does not have
  // under the names of the blocks (made by another tool, say) are left out.
  [[nodiscard]] std::vector<LayerError> measure(const std::filesystem::path& folder,
                                                const Manifest& manifest,
                                                const DtypeRun& run) const;

 private:
  struct Point {
    LayerError layer;   // its name and place; the error is still 0
    std::string input;  // how the products that read it are named, in the reference
    std::string scope;  // the scope of the norm before that layer, in the graph
  };
  [[nodiscard]] std::vector<Point> points(bool encoder) const;
  [[nodiscard]] int64_t rows_of(const ReferenceImage& image, bool encoder, bool last) const;
  // Adds the outputs of one run, of a tile or a sequence, to the errors of all points.
  void add_run(const std::map<std::string, std::string>& values,
               const std::vector<std::string>& wanted,
               const std::vector<Point>& points,
               const ReferenceImage& image,
               const std::vector<GraphTensor>& outputs,
               std::map<std::string, int64_t>& rows_before,
               std::vector<RelativeError>& sums) const;

  const Checkpoint& checkpoint_;
  std::span<const ReferenceImage> images_;
  // By name of the linear layer: rows of all images, one after the other.
  std::map<std::string, Rows, std::less<>> activations_;
};

}  // namespace lorapress

#endif  // LORAPRESS_VERIFY_LAYER_ERRORS_H_
