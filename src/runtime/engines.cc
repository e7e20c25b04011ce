#include "runtime/engines.h"

#include <array>

#include "runtime/ort/ort_decoder.h"

namespace lorapress {
namespace {

std::unique_ptr<Decoder> open_ort(const std::filesystem::path& folder,
                                  const Manifest& manifest,
                                  const GraphChoice& choice,
                                  unsigned threads) {
  const std::string decoder = role_of(manifest, "decoder");
  const auto in_place = [&](const std::string& dtype) {
    return graph_facts(manifest, dtype, decoder).in_place_cache;
  };
  const OrtDecoder::Files files{
      takes_images(manifest)
          ? graph_file(manifest, folder, choice.encoder, role_of(manifest, "encoder"))
          : std::filesystem::path(),
      graph_file(manifest, folder, choice.prefill, decoder),
      graph_file(manifest, folder, choice.decoder, decoder),
      in_place(choice.prefill) && in_place(choice.decoder),
      embeds_apart(manifest) ? graph_file(manifest, folder, choice.decoder, kEmbedRole)
                             : std::filesystem::path()};
  return std::make_unique<OrtDecoder>(manifest, files, threads);
}

constexpr std::array kEngines = {
    Engine{"ONNX Runtime", ort_version, open_ort},
};

}  // namespace

const Engine& default_engine() {
  return kEngines[0];
}

}  // namespace lorapress
