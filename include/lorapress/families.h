// What LoraPress can press: types of checkpoints, and the encoders and decoders that they are made of.
#ifndef LORAPRESS_FAMILIES_H_
#define LORAPRESS_FAMILIES_H_

#include <string>
#include <vector>

namespace lorapress {

struct FamilyInfo {
  std::string model_type;    // in config.json
  std::string architecture;  // the class of transformers; empty for encoders
  // How an image reaches the decoder: "prefix", "cross", "placeholder"; "none" for a decoder alone;
  // empty for encoders.
  std::string conditioning;
  // Bundles that press() takes it to: of a checkpoint and of a decoder alone by itself, of an encoder
  // as a part of some checkpoint.
  std::vector<std::string> bundles;
};

struct KnownFamilies {
  std::vector<FamilyInfo> checkpoints;  // that hold an encoder and a decoder
  std::vector<FamilyInfo> decoders;
  std::vector<FamilyInfo> encoders;
};

// Read from the registries of families and bundles, in their order.
KnownFamilies known_families();

}  // namespace lorapress

#endif  // LORAPRESS_FAMILIES_H_
