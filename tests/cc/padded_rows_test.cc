// Prompts of several lengths in one call of a decoder alone, padded on either side: each row gets what it
// gets alone. With windows, normalised heads and heads of which a part is rotated, in both dialects.
#include <gtest/gtest.h>

#include "lorapress/merge.h"
#include "lorapress/press.h"

#include "golden_util.h"
#include "runtime/graphs/client_calls.h"
#include "runtime/ort/ort.h"

namespace lorapress {
namespace {

using Ids = std::vector<int64_t>;
using Logits = std::vector<std::vector<float>>;
using test::TempFolder;

constexpr int64_t kSteps = 4;
constexpr int64_t kPad = 9;  // a token like others; only the mask tells

// Any tokens: rows 1 and 2 are padded, and all are longer than the goldens' windows.
const std::vector<Ids> kPrompts = {
    {5, 44, 31, 7, 90, 12, 60, 33, 21, 8, 71}, {17, 4, 63, 80, 25}, {50}};
const std::vector<Ids> kNext = {{3, 70, 41}, {99, 20, 6}, {14, 14, 88}};  // forced

class Calls {
 public:
  explicit Calls(const std::filesystem::path& model) : session_(model, 1), calls_(session_) {}

  // Logits behind the prompts and behind each forced token: [steps][row].
  [[nodiscard]] std::vector<Logits> run(const std::vector<Ids>& prompts,
                                        const std::vector<Ids>& next,
                                        bool left) const {
    const auto rows = std::ssize(prompts);
    size_t length = 0;
    for (const Ids& prompt : prompts) {
      length = std::max(length, prompt.size());
    }
    std::vector<Ids> mask;
    Ids ids;
    for (const Ids& prompt : prompts) {
      const size_t pads = length - prompt.size();
      Ids row(prompt);
      row.insert(left ? row.begin() : row.end(), pads, kPad);
      ids.insert(ids.end(), row.begin(), row.end());
      mask.emplace_back(prompt.size(), 1);
      mask.back().insert(left ? mask.back().begin() : mask.back().end(), pads, 0);
    }
    std::vector<OrtTensor> cache = calls_.empty_cache(rows);
    std::vector<Logits> found;
    for (size_t step = 0; step < kSteps; ++step) {
      Ids flat;
      for (const Ids& row : mask) {
        flat.insert(flat.end(), row.begin(), row.end());
      }
      const OrtTensor input = OrtTensor::integers({rows, std::ssize(ids) / rows}, ids);
      const OrtTensor seen = OrtTensor::integers({rows, std::ssize(mask[0])}, flat);
      ClientCalls::Step made = ClientCalls::to_step(
          session_.run(calls_.text_feeds(input, seen, cache), calls_.outputs()));
      cache = std::move(made.cache);
      const auto logits = made.logits.as_floats();
      const size_t width = logits.size() / prompts.size();
      Logits each;
      for (size_t row = 0; row < prompts.size(); ++row) {
        const auto line = logits.subspan(row * width, width);
        each.emplace_back(line.begin(), line.end());
      }
      found.push_back(std::move(each));
      ids.clear();
      for (size_t row = 0; row < prompts.size() && step + 1 < kSteps; ++row) {
        ids.push_back(next[row].at(step));
        mask[row].push_back(1);
      }
    }
    return found;
  }

 private:
  OrtSession session_;
  ClientCalls calls_;
};

class PaddedRows : public testing::TestWithParam<std::string> {};

TEST_P(PaddedRows, GetWhatTheyGetAlone) {
  const TempFolder temp;
  const test::Golden golden(GetParam());
  MergeOptions merging;
  merging.source = golden.source(golden.cases().at(0));
  merging.out = temp / "merged";
  merge(merging);
  for (const OpDialect ops : {OpDialect::kOrt, OpDialect::kStandard}) {
    PressOptions options;
    options.source.checkpoint = temp / "merged/language_model";
    options.out = temp / (ops == OpDialect::kOrt ? "ort" : "standard");
    options.ops = ops;
    export_bundle(options);
    const Calls calls(options.out / "onnx/model.onnx");
    const std::vector<Logits> left = calls.run(kPrompts, kNext, true);
    const std::vector<Logits> right = calls.run(kPrompts, kNext, false);
    for (size_t row = 0; row < kPrompts.size(); ++row) {
      const std::vector<Logits> alone = calls.run({kPrompts[row]}, {kNext[row]}, true);
      for (size_t step = 0; step < kSteps; ++step) {
        const std::vector<float>& wanted = alone[step][0];
        double size = 0.0;
        double off = 0.0;
        for (size_t i = 0; i < wanted.size(); ++i) {
          size = std::max(size, std::fabs(double{wanted[i]}));
          off = std::max({off,
                          std::fabs(double{wanted[i]} - left[step][row][i]),
                          std::fabs(double{wanted[i]} - right[step][row][i])});
        }
        EXPECT_LT(off, 1e-4 * size) << "row " << row << ", step " << step;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Decoders,
    PaddedRows,
    testing::Values("base", "qwen2", "qwen2window", "qwen3", "mistral", "phi3"));

}  // namespace
}  // namespace lorapress
