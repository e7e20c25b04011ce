// The vision towers (SiglipVisionTransformer, Idefics3VisionTransformer, ViTModel, CLIPVisionModel,
// Dinov2Model) and what projects their output, for reference.cc.
#ifndef LORAPRESS_VERIFY_REFERENCE_VISION_H_
#define LORAPRESS_VERIFY_REFERENCE_VISION_H_

#include <array>
#include <optional>

#include "verify/reference_math.h"

namespace lorapress::reference {

class VisionTower {
 public:
  // Declares its tensors.
  VisionTower(const Checkpoint& checkpoint, WeightTaker& weights);

  // pixel_values [3, image_size, image_size] of each image -> rows of all images' tokens, one after
  // the other. `seen`: which pixels of each image are seen, for towers that take masks; empty: all.
  template <typename T>
  [[nodiscard]] BasicRows<T> forward(const Context& context,
                                     const std::vector<std::vector<float>>& pixel_values,
                                     const std::vector<std::vector<uint8_t>>& seen = {}) const;

  // Positions before the decoder, of one image or one tile, and its pixel values.
  [[nodiscard]] int64_t tokens_per_tile() const { return config_.tokens() / (scale_ * scale_); }
  [[nodiscard]] size_t values_per_tile() const {
    return static_cast<size_t>(config_.num_channels * config_.image_size * config_.image_size);
  }

 private:
  struct Layer {
    Norm norm1;
    Linear q, k, v, out;
    Norm norm2;
    Linear fc1, fc2;
    WeightPtr scale1, scale2;  // DINOv2's layer_scale; null: none
  };
  void take_patches(WeightTaker& weights, const std::string& name, bool biased);
  void take_siglip(WeightTaker& weights);
  void take_clip(WeightTaker& weights);
  void take_vit(WeightTaker& weights);
  void take_layers(WeightTaker& weights,
                   const std::string& stem,
                   const std::array<const char*, 8>& parts,
                   bool scaled);
  [[nodiscard]] Norm take_norm(WeightTaker& weights, const std::string& name) const;
  // Whether each patch of each image is seen; empty: all are.
  using SeenPatches = std::vector<std::vector<uint8_t>>;
  template <typename T>
  [[nodiscard]] std::vector<T> positions() const;
  template <typename T>
  [[nodiscard]] std::vector<T> positions_of(const std::vector<T>& table,
                                            const SeenPatches& seen,
                                            size_t image) const;
  template <typename T>
  [[nodiscard]] BasicRows<T> embed(const Context& context,
                                   const std::vector<std::vector<float>>& pixel_values,
                                   const SeenPatches& seen) const;
  void take_last_norm(WeightTaker& weights, const std::string& name);
  template <typename T>
  [[nodiscard]] BasicRows<T> features(const std::vector<BasicRows<T>>& states,
                                      int64_t images) const;
  template <typename T>
  [[nodiscard]] BasicRows<T> unfold(const std::vector<std::vector<float>>& pixel_values) const;
  template <typename T>
  [[nodiscard]] BasicRows<T> attention(const Context& context,
                                       const Layer& layer,
                                       const BasicRows<T>& x,
                                       int64_t images,
                                       const SeenPatches& seen) const;
  template <typename T>
  [[nodiscard]] BasicRows<T> project(const Context& context, const BasicRows<T>& features) const;

  VisionConfig config_;
  Linear patch_embedding_;
  WeightPtr class_token_;  // null: none
  WeightPtr register_tokens_;
  WeightPtr position_embedding_;
  std::optional<Norm> first_norm_;
  std::vector<Layer> layers_;
  std::optional<Norm> last_norm_;
  std::vector<Linear> projection_;  // one, or two with a GELU between them
  std::string projection_act_;
  int64_t scale_ = 1;  // squares of so many patches become one position
};

}  // namespace lorapress::reference

#endif  // LORAPRESS_VERIFY_REFERENCE_VISION_H_
