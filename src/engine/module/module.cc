#include "engine/module/module.h"

#include <algorithm>
#include <cstdlib>
#include <optional>

#include "engine/decoder_sequences.h"
#include "engine/module/host_files.h"
#include "engine/module/module_workers.h"
#include "engine/naming.h"

namespace lorapress::engine {
namespace {

constexpr const char* kPartNames[kParts] = {"encoder", "embeddings", "decoder", "first decoder"};
constexpr size_t kWorkerStack = size_t{256} << 10;

// Objects by the numbers that the host has for them, from 1.
template <typename T>
class Handles {
 public:
  uint32_t add(std::unique_ptr<T> object) {
    const auto free = std::find(objects_.begin(), objects_.end(), nullptr);
    if (free != objects_.end()) {
      *free = std::move(object);
      return static_cast<uint32_t>(free - objects_.begin()) + 1;
    }
    objects_.push_back(std::move(object));
    return static_cast<uint32_t>(objects_.size());
  }
  [[nodiscard]] T* find(uint32_t handle) const {
    return handle == 0 || handle > objects_.size() ? nullptr : objects_[handle - 1].get();
  }
  void erase(uint32_t handle) {
    if (find(handle) != nullptr) {
      objects_[handle - 1].reset();
    }
  }
  [[nodiscard]] const std::vector<std::unique_ptr<T>>& all() const { return objects_; }

 private:
  std::vector<std::unique_ptr<T>> objects_;
};

// All that an instance of the module holds.
struct Instance {
  Workers alone;
  std::unique_ptr<PageTeam> team;
  std::vector<std::unique_ptr<std::byte[]>> stacks;
  std::optional<Decoder> decoder;
  std::vector<HostFile> files;  // of the next load
  Handles<Image> images;
  Handles<Sequences> sequences;
  std::string error;
  // What a call makes until it is whole: a refusal leaves it to the next call.
  std::optional<Run> encoding;
  std::unique_ptr<Sequences> beginning;
  std::vector<int64_t> ids;
  std::vector<int64_t> parents;

  [[nodiscard]] Workers& workers() {
    return team == nullptr ? alone : static_cast<Workers&>(*team);
  }
  // For calls that do not fit: 0.
  int32_t wrong(std::string why) {
    error = std::move(why);
    return 0;
  }
  void clear() {
    encoding.reset();
    beginning.reset();
  }
};

Instance& the() {
  static Instance instance;
  return instance;
}

}  // namespace
}  // namespace lorapress::engine

using namespace lorapress::engine;

extern "C" {

#if !defined(__cpp_exceptions)
void lorapress_engine_refused(int problem, const char* message) {
  const std::string name = refused_name == nullptr ? "" : *refused_name + ": ";
  refused_name = nullptr;
  lp_host_refused(problem, (name + message).c_str());
}
#endif

uint32_t lp_version() {
  return LP_VERSION;
}

const char* lp_kernels() {
  return lorapress::kernels::best_kernel_set().name;
}

const char* lp_error() {
  return the().error.c_str();
}

void* lp_allocate(uint32_t bytes) {
  void* memory = std::aligned_alloc(64, (size_t{bytes} + 127) / 64 * 64);
  if (memory == nullptr) {
    refuse(Problem::kRun, "no memory for " + std::to_string(bytes) + " bytes");
  }
  return memory;
}

void lp_free(void* memory) {
  std::free(memory);
}

double lp_bytes() {
  const Instance& instance = the();
  size_t bytes = instance.decoder ? instance.decoder->bytes() : 0;
  for (const std::unique_ptr<Image>& image : instance.images.all()) {
    bytes += image == nullptr ? 0 : image->features.size() * sizeof(float);
  }
  for (const std::unique_ptr<Sequences>& rows : instance.sequences.all()) {
    bytes += rows == nullptr ? 0 : rows->bytes();
  }
  return static_cast<double>(bytes);
}

void lp_threads(uint32_t count) {
  Instance& instance = the();
  if (lorapress_shared_memory == 0 || count < 2 || instance.team != nullptr ||
      instance.decoder.has_value()) {
    return;
  }
  const uint32_t threads = std::min<uint32_t>(count, LP_MOST_THREADS);
  for (uint32_t worker = 1; worker < threads; ++worker) {
    instance.stacks.push_back(std::make_unique_for_overwrite<std::byte[]>(kWorkerStack));
  }
  instance.team = std::make_unique<PageTeam>(threads);
}

uint32_t lp_worker_stack(uint32_t index) {
  const Instance& instance = the();
  if (index == 0 || index > instance.stacks.size()) {
    return 0;
  }
  const auto top = reinterpret_cast<uintptr_t>(instance.stacks[index - 1].get() + kWorkerStack);
  return static_cast<uint32_t>(top / 64 * 64);
}

void lp_worker_run(uint32_t index) {
  if (PageTeam* team = the().team.get(); team != nullptr && index > 0 && index < team->count()) {
    team->serve(index);
  }
}

int32_t lp_open(int32_t image_height,
                int32_t image_width,
                int32_t image_tokens,
                int32_t vocab_size,
                int32_t num_hidden_layers,
                int32_t num_key_value_heads,
                int32_t head_dim,
                int32_t image_token_id,
                int32_t cross_attention,
                int32_t ids_in_cache) {
  Instance& instance = the();
  if (instance.decoder.has_value()) {
    return instance.wrong("the instance has a model");
  }
  if (image_height < 0 || image_width < 0 || vocab_size < 1 || num_hidden_layers < 1 ||
      num_key_value_heads < 1 || head_dim < 1) {
    return instance.wrong("numbers of no model");
  }
  DecoderFacts facts;
  facts.images = image_height > 0;
  facts.image_height = image_height;
  facts.image_width = image_width;
  facts.image_tokens = image_tokens > 0 ? image_tokens : -1;
  facts.image_token_id = image_token_id;
  facts.cross = cross_attention != 0;
  facts.vocab_size = vocab_size;
  facts.layers = num_hidden_layers;
  facts.ids_in_cache = ids_in_cache != 0;
  facts.kv_heads = num_key_value_heads;
  facts.head_dim = head_dim;
  instance.decoder.emplace(facts, instance.workers());
  return 1;
}

int32_t lp_file(const char* name, double size) {
  std::vector<HostFile>& files = the().files;
  files.push_back({name, size > 0 ? static_cast<uint64_t>(size) : 0});
  return static_cast<int32_t>(files.size()) - 1;
}

int32_t lp_load(int32_t part) {
  Instance& instance = the();
  instance.clear();
  if (!instance.decoder.has_value() || part < 0 || part >= kParts || instance.files.empty()) {
    return instance.wrong("no model, no such part or no file");
  }
  const std::string name = kPartNames[part];
  lp_unload(part);
  std::unique_ptr<Session> session;
  naming(name, [&] {
    const HostFiles files(std::move(instance.files));
    session =
        std::make_unique<Session>(files, instance.alone);  // the host's reads are this thread's
  });
  instance.files.clear();
  instance.decoder->set(static_cast<Part>(part), std::move(session), name);
  return 1;
}

void lp_unload(int32_t part) {
  Instance& instance = the();
  if (instance.decoder.has_value() && part >= 0 && part < kParts) {
    instance.decoder->set(static_cast<Part>(part), nullptr, "");
  }
}

uint32_t lp_encode(const float* pixels, int32_t tiles) {
  Instance& instance = the();
  instance.clear();
  if (!instance.decoder.has_value() || !instance.decoder->has(Part::kEncoder) || tiles < 1) {
    return instance.wrong(tiles < 1 ? "no tiles" : "the encoder is not loaded");
  }
  const Decoder& decoder = *instance.decoder;
  auto image = std::make_unique<Image>();
  decoder.prepare_encoder(instance.encoding.emplace());
  *image =
      decoder.encode(*instance.encoding,
                     {pixels, static_cast<size_t>(decoder.pixels()) * static_cast<size_t>(tiles)});
  instance.encoding.reset();
  return instance.images.add(std::move(image));
}

uint32_t lp_image(int32_t positions, int32_t width) {
  Instance& instance = the();
  if (positions < 1 || width < 1) {
    return instance.wrong("an image without numbers");
  }
  auto image = std::make_unique<Image>();
  image->width = width;
  image->features.resize(static_cast<size_t>(positions) * static_cast<size_t>(width));
  return instance.images.add(std::move(image));
}

float* lp_image_data(uint32_t image) {
  Image* found = the().images.find(image);
  return found == nullptr ? nullptr : found->features.data();
}

int32_t lp_image_positions(uint32_t image) {
  const Image* found = the().images.find(image);
  return found == nullptr ? 0 : static_cast<int32_t>(found->positions());
}

int32_t lp_image_width(uint32_t image) {
  const Image* found = the().images.find(image);
  return found == nullptr ? 0 : static_cast<int32_t>(found->width);
}

void lp_free_image(uint32_t image) {
  the().images.erase(image);
}

uint32_t lp_prefill(uint32_t image, const int32_t* ids, int32_t count, int32_t room) {
  Instance& instance = the();
  instance.clear();
  if (!instance.decoder.has_value() || !instance.decoder->ready()) {
    return instance.wrong("the decoder is not loaded");
  }
  const Image* seen = instance.images.find(image);
  if (seen == nullptr && image != 0) {
    return instance.wrong("no such image");
  }
  instance.ids.assign(ids, ids + std::max(count, 0));
  if (std::string misfit = instance.decoder->misfit(seen, instance.ids); !misfit.empty()) {
    return instance.wrong(std::move(misfit));
  }
  instance.beginning = std::make_unique<Sequences>(*instance.decoder, 1, 1, room);
  instance.beginning->prefill(0, seen, instance.ids);
  return instance.sequences.add(std::move(instance.beginning));
}

int32_t lp_step(uint32_t sequences, const int32_t* parents, const int32_t* tokens, int32_t rows) {
  Instance& instance = the();
  instance.clear();
  Sequences* found = instance.sequences.find(sequences);
  if (found == nullptr || !instance.decoder->ready() || rows < 1) {
    return instance.wrong(rows < 1 ? "no rows" : "no such sequences, or the decoder is not loaded");
  }
  for (int32_t row = 0; row < rows; ++row) {
    if (parents[row] < 0 || parents[row] >= found->rows()) {
      return instance.wrong("row " + std::to_string(row) + " continues row " +
                            std::to_string(parents[row]) + " of " + std::to_string(found->rows()));
    }
  }
  instance.parents.assign(parents, parents + rows);
  instance.ids.assign(tokens, tokens + rows);
  found->step(instance.parents, instance.ids);
  return 1;
}

float* lp_logits(uint32_t sequences) {
  Sequences* found = the().sequences.find(sequences);
  return found == nullptr ? nullptr : found->all_logits();
}

void lp_free_sequences(uint32_t sequences) {
  the().sequences.erase(sequences);
}

}  // extern "C"
