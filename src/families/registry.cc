#include <array>

#include "base/fail.h"
#include "families/family.h"

namespace lorapress {

// Each is defined in the file of its name.
extern const VisionFamily kBlipVision, kClip, kDeit, kDinov2, kDinov2WithRegisters, kIdefics3Vision,
    kSiglip, kSmolvlmVision, kVit;
extern const TextFamily kBlipText, kGpt2, kLlama, kMistral, kOpt, kPhi3, kQwen2, kQwen3, kSmollm3,
    kTrocr;
extern const CompositeModelType kBlipModel, kIdefics3Model, kLlavaModel, kPrefixVlm, kSmolvlmModel,
    kVisionEncoderDecoder;

namespace {

constexpr std::array kVisionFamilies = {&kSiglip,
                                        &kVit,
                                        &kDeit,
                                        &kClip,
                                        &kDinov2,
                                        &kDinov2WithRegisters,
                                        &kIdefics3Vision,
                                        &kSmolvlmVision,
                                        &kBlipVision};
constexpr std::array kTextFamilies = {
    &kLlama, &kQwen2, &kQwen3, &kMistral, &kPhi3, &kSmollm3, &kGpt2, &kOpt, &kTrocr, &kBlipText};
constexpr std::array kCompositeTypes = {&kPrefixVlm,
                                        &kLlavaModel,
                                        &kIdefics3Model,
                                        &kSmolvlmModel,
                                        &kVisionEncoderDecoder,
                                        &kBlipModel};

template <typename Type, typename Families>
constexpr auto types_of(const Families& families) {
  std::array<const Type*, std::tuple_size_v<Families>> types{};
  std::ranges::copy(families, types.begin());
  return types;
}
constexpr auto kVisionTypes = types_of<VisionModelType>(kVisionFamilies);
constexpr auto kTextTypes = types_of<TextModelType>(kTextFamilies);

template <typename Family>
const Family& find(std::span<const Family* const> families, std::string_view model_type) {
  if (const Family* family = find_model_type(families, model_type)) {
    return *family;
  }
  std::vector<std::string_view> known;
  std::ranges::transform(families, std::back_inserter(known), &Family::model_type);
  fail(ErrorCode::kUnsupported,
       "model_type \"{}\" is not supported (supported: {})",
       model_type,
       fmt::join(known, ", "));
}

}  // namespace

std::span<const VisionModelType* const> vision_model_types() {
  return kVisionTypes;
}
std::span<const TextModelType* const> text_model_types() {
  return kTextTypes;
}

std::span<const CompositeModelType* const> composite_model_types() {
  return kCompositeTypes;
}

const VisionFamily& vision_family(std::string_view model_type) {
  return find(vision_families(), model_type);
}
const TextFamily& text_family(std::string_view model_type) {
  return find(text_families(), model_type);
}
std::span<const VisionFamily* const> vision_families() {
  return kVisionFamilies;
}
std::span<const TextFamily* const> text_families() {
  return kTextFamilies;
}

}  // namespace lorapress
