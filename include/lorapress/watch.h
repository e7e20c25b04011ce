// Follows a training run: presses each checkpoint when it is whole, keeps the newest and the best.
#ifndef LORAPRESS_WATCH_H_
#define LORAPRESS_WATCH_H_

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "lorapress/press.h"

namespace lorapress {

struct WatchOptions {
  std::filesystem::path run;  // the folder in which checkpoint-N folders appear
  std::filesystem::path out;
  PressOptions press;  // source, out and force are set for each checkpoint
  std::filesystem::path
      images;  // the first `most_images` of this folder are captioned; empty: none
  size_t most_images = 8;
  // A number of trainer_state.json's log_history. Names with "loss" in them are better when they
  // are lower, all others when they are higher.
  std::string metric = "eval_loss";
  bool once = false;            // end when every whole checkpoint is pressed
  unsigned interval_ms = 2000;  // between two looks
  // Called between looks, too, several times a second; it may throw to end the watch.
  ProgressFn progress;
};

struct WatchedCaption {
  std::string image;  // file name
  std::string text;
};

struct WatchedStep {
  int64_t step = 0;
  std::optional<double> metric;  // of this checkpoint, where the run has validated it
  bool best = false;             // of all steps so far
  std::vector<WatchedCaption> captions;
  std::string error;  // why it was not pressed, else empty
};

using WatchFn = std::function<void(const WatchedStep& step)>;

// OUT, every name of which is whole at any moment, also after kill -9:
//
//   step-500/     a pressed checkpoint: the newest and the best one
//   newest, best  links to them
//   images/       copies of the pictures that are captioned
//   watch.json    steps, metrics and captions
//   index.html    the newest captions beside those before; reads watch.json, for `serve OUT`
//
// A checkpoint is whole when its config.json and trainer_state.json can be read, the state is that
// of its step (trainers write it last), and every file of weights has the length its header says.
// What is pressed already is not pressed again by a later call. Calls `report` for each checkpoint
// in the order of steps. Throws kExists when OUT is something else or another watch writes to it,
// kNotFound where the run's folder is missing.
void watch(const WatchOptions& options, const WatchFn& report);

}  // namespace lorapress

#endif  // LORAPRESS_WATCH_H_
