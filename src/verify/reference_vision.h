// SiglipVisionTransformer and the trainer's projection, for reference.cc.
#ifndef LORAPRESS_VERIFY_REFERENCE_VISION_H_
#define LORAPRESS_VERIFY_REFERENCE_VISION_H_

#include "verify/reference_math.h"

namespace lorapress::reference {

class VisionTower {
 public:
  // Declares its tensors.
  VisionTower(const Checkpoint& checkpoint, WeightTaker& weights);

  // pixel_values [3, image_size, image_size] of each image -> rows of all images' tokens, one after
  // the other.
  template <typename T>
  [[nodiscard]] BasicRows<T> forward(const Context& context,
                                     const std::vector<std::vector<float>>& pixel_values) const;

  [[nodiscard]] int64_t tokens_per_image() const { return config_.patches(); }

 private:
  struct Layer {
    Norm norm1;
    Linear q, k, v, out;
    Norm norm2;
    Linear fc1, fc2;
  };
  template <typename T>
  [[nodiscard]] BasicRows<T> unfold(const std::vector<std::vector<float>>& pixel_values) const;
  template <typename T>
  [[nodiscard]] BasicRows<T> attention(const Context& context,
                                       const Layer& layer,
                                       const BasicRows<T>& x,
                                       int64_t images) const;
  template <typename T>
  [[nodiscard]] BasicRows<T> project(const Context& context, const BasicRows<T>& features) const;

  VisionConfig config_;
  Linear patch_embedding_;
  WeightPtr position_embedding_;
  std::vector<Layer> layers_;
  Norm post_layernorm_;
  std::vector<Linear> projection_;  // one, or two with an exact GELU between them
};

}  // namespace lorapress::reference

#endif  // LORAPRESS_VERIFY_REFERENCE_VISION_H_
