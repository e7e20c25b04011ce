#include "runtime/engines.h"

#include <algorithm>
#include <array>

#include "base/fail.h"
#include "runtime/native/native_decoder.h"
#include "runtime/native/native_graph.h"
#include "runtime/ort/ort_decoder.h"
#include "runtime/ort/ort_graph.h"

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

// In the order in which "auto" tries them.
constexpr std::array kEngines = {
    Engine{"native",
           "LoraPress",
           [] { return std::string(LORAPRESS_VERSION); },
           open_native,
           open_native_graph},
    Engine{"ort", "ONNX Runtime", ort_version, open_ort, open_ort_graph},
};

// open(engine) with the engine of the wish; returns why it is not the first one tried, else nothing.
template <typename Open>
std::string with_engine(std::string_view wish, const Open& open) {
  check_engine(wish);
  for (const Engine& engine : kEngines) {
    if (wish == engine.key) {
      open(engine);
      return {};
    }
  }
  std::string refusal;
  try {
    open(kEngines[0]);
    return {};
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kUnsupported) {
      throw;
    }
    refusal = error.what();
  }
  try {
    open(kEngines[1]);
  } catch (const Error& error) {
    throw Error(error.code(), fmt::format("{}; {}", refusal, error.what()));
  }
  return fmt::format("{}; {} runs it", refusal, kEngines[1].name);
}

}  // namespace

bool has_ort() {
  try {
    static_cast<void>(ort_version());
    return true;
  } catch (const Error&) {
    return false;
  }
}

void check_engine(std::string_view wish) {
  if (!wish.empty() && wish != kAutoEngine &&
      std::ranges::find(kEngines, wish, &Engine::key) == kEngines.end()) {
    fail(ErrorCode::kInvalidArgument,
         "options.engine \"{}\" is not one of native, ort and auto",
         wish);
  }
}

OpenedDecoder open_decoder(std::string_view wish,
                           const std::filesystem::path& folder,
                           const Manifest& manifest,
                           const GraphChoice& choice,
                           unsigned threads) {
  OpenedDecoder opened;
  opened.note = with_engine(wish, [&](const Engine& engine) {
    opened.decoder = engine.open(folder, manifest, choice, threads);
    opened.engine = &engine;
  });
  return opened;
}

OpenedGraph open_graph(std::string_view wish, const GraphSource& source, unsigned threads) {
  OpenedGraph opened;
  opened.note = with_engine(wish, [&](const Engine& engine) {
    opened.session = engine.open_graph(source, threads);
    opened.engine = &engine;
  });
  return opened;
}

}  // namespace lorapress
