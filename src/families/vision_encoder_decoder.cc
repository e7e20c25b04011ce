// transformers' VisionEncoderDecoderModel (configuration_vision_encoder_decoder.py,
// modeling_vision_encoder_decoder.py): any vision tower, and a decoder whose layers attend to its
// last hidden state.
#include <array>

#include "base/fail.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/config_fields.h"

namespace lorapress {
namespace {

using namespace config_fields;

constexpr std::array<NamePrefix, 3> kVisionEncoderDecoderNames = {
    {{"encoder.", "vision_encoder."},
     {"decoder.", "language_model."},
     {"enc_to_dec_proj.", "projection.projection."}}};

std::optional<ProjectionConfig> projection_in_read_whole(const Json& /*json*/,
                                                         std::string_view /*where*/) {
  return std::nullopt;
}

// The width of the states that the decoder's layers see, and enc_to_dec_proj, which stands before them
// where the sizes differ and the decoder does not name the encoder's.
void read_states(const Json& decoder, std::string_view where, Checkpoint& checkpoint) {
  TextConfig& text = checkpoint.text.value();
  const int64_t encoder = checkpoint.vision->hidden_size;
  int64_t& width = std::get<LayerNormLayers>(text.layers).cross_width;
  const auto named = json_or<int64_t>(decoder, "cross_attention_hidden_size", 0, where);
  if (named != 0 && named != encoder) {
    fail(ErrorCode::kInvalidFile,
         "{}: \"cross_attention_hidden_size\" is {}, the encoder's hidden_size {}",
         where,
         named,
         encoder);
  }
  width = named != 0 ? named : text.hidden_size;
  if (named == 0 && encoder != text.hidden_size) {
    checkpoint.projection = ProjectionConfig{};
  }
}

void read_vision_encoder_decoder(const Json& json, std::string_view where, Checkpoint& checkpoint) {
  TextConfig& text = checkpoint.text.value();
  read_states(checkpoint.text_json, where, checkpoint);
  // The outer config's special tokens come before the decoder's.
  const std::vector<int64_t> ends = token_ids(json, "eos_token_id", where);
  if (!ends.empty()) {
    text.eos_token_ids = ends;
  }
  const auto outer = [&](const char* key, int64_t& id) {
    const int64_t own = token_id(json, key, where);
    id = own >= 0 ? own : id;
  };
  outer("bos_token_id", text.bos_token_id);
  outer("pad_token_id", text.pad_token_id);
  const int64_t decoders = token_id(checkpoint.text_json, "decoder_start_token_id", where);
  text.decoder_start_token_id = decoders >= 0 ? decoders : text.decoder_start_token_id;
  outer("decoder_start_token_id", text.decoder_start_token_id);
}

}  // namespace

extern const CompositeModelType kVisionEncoderDecoder;
const CompositeModelType kVisionEncoderDecoder{"vision-encoder-decoder",
                                               "VisionEncoderDecoderModel",
                                               Conditioning::kCross,
                                               "encoder",
                                               "decoder",
                                               kVisionEncoderDecoderNames,
                                               projection_in_read_whole,
                                               read_vision_encoder_decoder};

}  // namespace lorapress
