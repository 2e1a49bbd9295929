// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include <thaw/core/compiled.hpp>
#include <thaw/train/learner.hpp>

namespace thaw {

/// A callback that writes a run for TensorBoard (`tensorboard --logdir runs`), as each epoch ends:
///
///     of each step     loss/train; lr/<group>, 0 where it is frozen; momentum, where the optimizer has one
///     of each epoch    loss/train_epoch, loss/valid, metrics/<name>, seconds_per_epoch
///
///     learner.fit(stage, thaw::TensorBoard{"runs/a"});
///
/// A step is its number in the Learner's history, from 1 on, over all stages; an epoch's values stand at its last step.
/// Of more steps than the history records (History::max_recorded_steps), those are written that it kept. Each callback
/// writes a file of its own. A resumed run begins another, and first takes out of the folder what it wrote after its
/// checkpoint, so that no step is there twice. Throws FileError before the first step when the folder cannot be
/// written.
struct TensorBoard {
  static constexpr bool first_process_only = true;

  std::filesystem::path dir = "runs";  ///< made if it is not there; one folder for each run

  void on_stage_begin(const StageBegin& event);
  void on_epoch_end(const EpochEnd& event);
  void on_run_state(const RunStateVisit& event);

  std::string file_ = {};                          // run state: its name; empty before the first stage,
  std::int64_t size_ = 0;                          // and its bytes
  std::int64_t first_step_ = 0, first_epoch_ = 0;  // of the history, that are in it,
  std::int64_t steps_ = 0, epochs_ = 0;            // and how many of the history are written
  bool resumed_ = false;                           // and the file is an earlier process's

 private:
  void start(const Learner& learner);
  void go_on(const Learner& learner);
  void append(std::string_view event);
};

}  // namespace thaw

#if THAW_DEFINES(report)

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <iterator>
#include <system_error>
#include <utility>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/report/detail/event_file.hpp>

namespace thaw::detail {

[[nodiscard]] THAW_INLINE double seconds_since_1970() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace thaw::detail

namespace thaw {

THAW_INLINE void TensorBoard::on_stage_begin(const StageBegin& event) {
  if (resumed_) return go_on(event.learner);
  if (!file_.empty()) return;
  steps_ = event.learner.history().steps_done;
  epochs_ = std::ssize(event.learner.history().epochs);
  start(event.learner);
}

THAW_INLINE void TensorBoard::on_epoch_end(const EpochEnd& event) {
  if (resumed_) go_on(event.learner);
  const History& history = event.learner.history();
  const auto of_step = [&](const StepRecord& step) {
    std::vector<detail::Scalar> scalars{{"loss/train", step.loss}};
    for (std::size_t i = 0; i < step.lr.size(); ++i) scalars.push_back({"lr/" + history.groups.at(i), step.lr[i]});
    if (step.momentum) scalars.push_back({"momentum", *step.momentum});
    return scalars;
  };
  const double now = detail::seconds_since_1970();
  std::string events;
  for (std::int64_t i = (steps_ + history.every - 1) / history.every; i < std::ssize(history.steps); ++i)
    events += detail::event_record(
        detail::scalars_event(now, i * history.every + 1, of_step(history.steps[static_cast<std::size_t>(i)])));
  for (; epochs_ < std::ssize(history.epochs); ++epochs_) {
    const EpochRecord& epoch = history.epochs[static_cast<std::size_t>(epochs_)];
    std::vector<detail::Scalar> scalars{{"loss/train_epoch", epoch.train_loss}, {"seconds_per_epoch", epoch.seconds}};
    if (epoch.valid) {
      scalars.push_back({"loss/valid", epoch.valid->loss});
      for (const MetricValue& metric : epoch.valid->metrics)
        scalars.push_back({"metrics/" + metric.name, metric.value});
    }
    events += detail::event_record(detail::scalars_event(now, epoch.steps_done, scalars));
  }
  steps_ = history.steps_done;
  append(events);
}

THAW_INLINE void TensorBoard::on_run_state(const RunStateVisit& event) {
  event.state("file", file_);
  event.state("size", size_);
  event.state("first_step", first_step_);
  event.state("first_epoch", first_epoch_);
  event.state("steps", steps_);
  event.state("epochs", epochs_);
  if (event.state.reading()) resumed_ = !file_.empty();
}

/// TensorBoard reads files with "tfevents" in their names, in the order of these.
THAW_INLINE void TensorBoard::start(const Learner& learner) {
  std::error_code failed;
  std::filesystem::create_directories(dir, failed);  // append() says what is wrong
  const double now = detail::seconds_since_1970();
  file_ = fmt::format("events.out.tfevents.{:017.6f}.{}", now, learner.run_id());
  size_ = 0;
  first_step_ = steps_;
  first_epoch_ = epochs_;
  append(detail::event_record(detail::version_event(now)));
}

/// Cuts off what the earlier process wrote after the checkpoint, and what others did that went on from it; what is gone
/// is written anew.
THAW_INLINE void TensorBoard::go_on(const Learner& learner) {
  resumed_ = false;
  std::error_code error;
  std::vector<std::filesystem::path> later;
  for (const auto& entry : std::filesystem::directory_iterator(dir, error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("events.out.tfevents.") && name.ends_with("." + learner.run_id()) && name > file_)
      later.push_back(entry.path());
  }
  for (const auto& path : later) std::filesystem::remove(path, error);
  const auto there = std::filesystem::file_size(dir / file_, error);
  if (!error && std::cmp_greater_equal(there, size_)) {
    std::filesystem::resize_file(dir / file_, static_cast<std::uintmax_t>(size_), error);
    if (error)
      throw FileError((dir / file_).string(), "cannot be cut: " + error.message(),
                      "name a folder that may be written to");
  } else {
    std::filesystem::remove(dir / file_, error);
    steps_ = first_step_;
    epochs_ = first_epoch_;
  }
  start(learner);
  append(detail::event_record(detail::restart_event(detail::seconds_since_1970(), steps_ + 1)));
}

THAW_INLINE void TensorBoard::append(std::string_view events) {
  std::ofstream file(dir / file_, std::ios::binary | std::ios::app);
  if (!(file << events << std::flush))
    throw FileError((dir / file_).string(), "cannot be written",
                    "name a folder that may be written to, with room on its disk");
  size_ += std::ssize(events);
}

}  // namespace thaw

#endif
