#include "runtime/engines.h"

#include <array>

#include "base/fail.h"
#include "runtime/native/native_decoder.h"
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

std::unique_ptr<Decoder> open_native(const std::filesystem::path& folder,
                                     const Manifest& manifest,
                                     const GraphChoice& choice,
                                     unsigned threads) {
  const std::string decoder = role_of(manifest, "decoder");
  const NativeDecoder::Files files{
      takes_images(manifest)
          ? graph_file(manifest, folder, choice.encoder, role_of(manifest, "encoder"))
          : std::filesystem::path(),
      graph_file(manifest, folder, choice.prefill, decoder),
      graph_file(manifest, folder, choice.decoder, decoder),
      embeds_apart(manifest) ? graph_file(manifest, folder, choice.decoder, kEmbedRole)
                             : std::filesystem::path()};
  return std::make_unique<NativeDecoder>(manifest, files, threads);
}

constexpr std::array kEngines = {
    Engine{"ort", "ONNX Runtime", ort_version, open_ort},
    Engine{"native", "LoraPress", [] { return std::string(LORAPRESS_VERSION); }, open_native},
};
constexpr std::string_view kAutoEngine = "auto";

}  // namespace

const Engine& default_engine() {
  return kEngines[0];
}

OpenedDecoder open_decoder(std::string_view wish,
                           const std::filesystem::path& folder,
                           const Manifest& manifest,
                           const GraphChoice& choice,
                           unsigned threads) {
  const auto open = [&](const Engine& engine) {
    return OpenedDecoder{&engine, engine.open(folder, manifest, choice, threads), ""};
  };
  if (wish == kAutoEngine) {
    try {
      return open(kEngines[1]);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kUnsupported) {
        throw;
      }
      OpenedDecoder opened = open(kEngines[0]);
      opened.note = fmt::format("{}; {} runs it", error.what(), opened.engine->name);
      return opened;
    }
  }
  for (const Engine& engine : kEngines) {
    if (wish == engine.key || (wish.empty() && &engine == &default_engine())) {
      return open(engine);
    }
  }
  fail(ErrorCode::kInvalidArgument,
       "options.engine \"{}\" is not one of ort, native and auto",
       wish);
}

}  // namespace lorapress
