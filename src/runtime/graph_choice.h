// Which of a folder's graphs do which part of a caption.
#ifndef LORAPRESS_RUNTIME_GRAPH_CHOICE_H_
#define LORAPRESS_RUNTIME_GRAPH_CHOICE_H_

#include <filesystem>
#include <string>

#include "bundles/manifest.h"

namespace lorapress {

// The decoder's first call is a different kind of work (hundreds of positions, bound by arithmetic)
// from its later calls (one position, bound by memory), so each may have a graph of its own. Both
// read and write the same cache.
struct GraphChoice {
  std::string encoder;  // dtypes; the encoder's is empty for a decoder alone
  std::string prefill;
  std::string decoder;
};

// `wish` is one of
//   ""                                    the folder's default
//   "q4"                                  that dtype for all
//   "encoder=q8,prefill=q8,decoder=q4"    parts not named: the default; prefill: as decoder
//   "auto"                                the folder's dtypes that were measured fastest on CPUs
// Throws kInvalidArgument for any other form, kNotFound for a dtype that the folder lacks,
// kUnsupported for one without that graph.
GraphChoice choose_graphs(const Manifest& manifest,
                          const std::filesystem::path& folder,
                          const std::string& wish);

// The file of a role ("encoder", "decoder") in a dtype. Throws as choose_graphs().
std::filesystem::path graph_file(const Manifest& manifest,
                                 const std::filesystem::path& folder,
                                 const std::string& dtype,
                                 const std::string& role);

inline constexpr const char* kEmbedRole = "embed_tokens";
// Whether the folder has its embeddings as a graph of their own: image features then replace rows of
// them (placeholder conditioning).
bool embeds_apart(const Manifest& manifest);
// The folder's role for the work "encoder" or "decoder".
std::string role_of(const Manifest& manifest, const std::string& work);

}  // namespace lorapress

#endif  // LORAPRESS_RUNTIME_GRAPH_CHOICE_H_
