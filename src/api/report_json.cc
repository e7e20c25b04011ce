#include "lorapress/report_json.h"

#include "base/json.h"

namespace lorapress {
namespace {

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json object_of(const std::vector<OutputFileInfo>& files) {
  Json list = Json::array();
  for (const OutputFileInfo& file : files) {
    list.push_back({{"path", file.path}, {"bytes", file.bytes}});
  }
  return list;
}

Json object_of(const CaptionMetrics& metrics) {
  return {{"cider", metrics.cider},
          {"bleu_1", metrics.bleu[0]},
          {"bleu_2", metrics.bleu[1]},
          {"bleu_3", metrics.bleu[2]},
          {"bleu_4", metrics.bleu[3]},
          {"rouge_l", metrics.rouge_l},
          {"meteor_exact_stem", metrics.meteor},
          {"words", metrics.words}};
}

Json object_of(const LogitDistance& distance) {
  return {{"tokens", distance.tokens},
          {"matched", distance.matched},
          {"match", distance.match()},
          {"largest_logit_difference", distance.largest_difference},
          {"relative_logit_error", distance.relative_error},
          {"kl_mean", distance.kl_mean},
          {"kl_max", distance.kl_max}};
}

Json object_of(const MetricDifference& difference) {
  return {{"difference", difference.value}, {"low", difference.low}, {"high", difference.high}};
}

Json object_of(const CaptionQuality& quality, bool compared) {
  Json json = object_of(quality.metrics);
  if (compared) {
    const MetricDifferences& to = quality.to_reference;
    json["to_reference"] = {{"cider", object_of(to.cider)},
                            {"bleu_4", object_of(to.bleu_4)},
                            {"rouge_l", object_of(to.rouge_l)},
                            {"meteor_exact_stem", object_of(to.meteor)},
                            {"words", object_of(to.words)}};
  }
  return json;
}

Json object_of(const DtypeParity& dtype, const std::vector<VerifyImage>& images) {
  Json json = {{"dtype", dtype.dtype},
               {"engine", dtype.engine},
               {"bytes", dtype.bytes},
               {"passed", dtype.passed},
               {"required_match", dtype.required_match},
               {"faults", dtype.faults},
               {"teacher_forced", object_of(dtype.forced)},
               {"captions", dtype.images.size()},
               {"captions_equal", dtype.captions_equal},
               {"near_ties", dtype.near_ties},
               {"image_token_error", dtype.prefix_error},
               {"image_token_rounding", dtype.prefix_rounding},
               {"image_token_excess", dtype.prefix_excess},
               {"logit_rounding", dtype.logit_rounding},
               {"logit_excess", dtype.logit_excess},
               {"seconds", dtype.seconds},
               {"images", Json::array()},
               {"layers", Json::array()}};
  if (dtype.quality) {
    json["quality"] = object_of(*dtype.quality, true);
  }
  for (const ImageParity& parity : dtype.images) {
    json["images"].push_back({{"image", images[parity.image].name},
                              {"teacher_forced", object_of(parity.forced)},
                              {"kl", parity.kl},
                              {"image_token_error", parity.prefix_error},
                              {"ids", parity.ids},
                              {"text", parity.text},
                              {"caption_equal", parity.caption_equal}});
  }
  for (const LayerError& error : dtype.layers) {
    json["layers"].push_back({{"part", error.encoder ? "encoder" : "decoder"},
                              {"layer", error.layer},
                              {"error", error.error}});
  }
  return json;
}

Json verify_json(const VerifyReport& report) {
  Json json = {{"passed", report.passed},
               {"faults", report.faults},
               {"notes", report.notes},
               {"max_new_tokens", report.max_new_tokens},
               {"unreadable_images", report.unreadable_images},
               {"reference_seconds", report.reference_seconds},
               {"images", Json::array()},
               {"dtypes", Json::array()}};
  if (report.quality) {
    json["quality"] = object_of(*report.quality, false);
    json["scored_images"] = report.scored_images;
  }
  for (const VerifyImage& image : report.images) {
    if (image.error.empty()) {
      json["images"].push_back({{"image", image.name},
                                {"ids", image.ids},
                                {"text", image.text},
                                {"pixel_difference", image.pixel_difference}});
    } else {
      json["images"].push_back({{"image", image.name}, {"error", image.error}});
    }
  }
  for (const DtypeParity& dtype : report.dtypes) {
    json["dtypes"].push_back(object_of(dtype, report.images));
  }
  return json;
}

}  // namespace

std::string to_json(const PressReport& report) {
  Json json = {{"out", report.folder.string()},
               {"bundle", report.bundle},
               {"takes_images", report.takes_images},
               {"parameters", report.parameters},
               {"adapted_tensors", report.adapted_tensors},
               {"seconds",
                {{"read", report.read_seconds},
                 {"author", report.author_seconds},
                 {"write", report.write_seconds},
                 {"caption", report.caption_seconds}}},
               {"notes", report.notes},
               {"files", object_of(report.files)}};
  if (report.caption) {
    json["caption"] = {{"ids", report.caption->ids},
                       {"text", report.caption->text},
                       {"dtype", report.caption_dtype}};
  }
  return dump(json);
}

std::string to_json(const MergeReport& report) {
  return dump({{"tensors", report.tensors},
               {"merged", report.merged},
               {"parameters", report.parameters},
               {"notes", report.notes},
               {"files", object_of(report.files)}});
}

std::string to_json(const QuantizeReport& report) {
  uint64_t bytes_out = 0;
  for (const OutputFileInfo& file : report.files) {
    bytes_out += file.bytes;
  }
  Json json = {{"bytes_in", report.bytes_in},
               {"bytes_out", bytes_out},
               {"operators", report.operators},
               {"seconds",
                {{"read", report.read_seconds},
                 {"calibrate", report.calibrate_seconds},
                 {"rewrite", report.rewrite_seconds},
                 {"write", report.write_seconds}}},
               {"quantized_matrices", report.quantized_matrices},
               {"kept", Json::array()},
               {"notes", report.notes},
               {"files", object_of(report.files)}};
  if (report.calibration_images > 0) {
    json["calibration"] = {{"images", report.calibration_images},
                           {"weights", report.calibrated_weights},
                           {"weights_not_observed", report.uncalibrated_weights}};
  }
  for (const KeptMatrix& kept : report.kept) {
    json["kept"].push_back({{"name", kept.name}, {"reason", kept.reason}});
  }
  return dump(json);
}

std::string to_json(const VerifyReport& report) {
  return dump(verify_json(report));
}

std::string to_json(const CaptionMetrics& metrics) {
  return dump(object_of(metrics));
}

}  // namespace lorapress
