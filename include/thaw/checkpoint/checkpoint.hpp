// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <c10/util/ScopeExit.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <thaw/checkpoint/resume.hpp>
#include <thaw/core/compiled.hpp>
#include <thaw/core/error.hpp>
#include <thaw/core/interrupts.hpp>
#include <thaw/train/learner.hpp>
#include <thaw/train/monitor.hpp>

namespace thaw {

namespace detail {
class CheckpointFolder;
}  // namespace detail

/// How often to write a checkpoint; 0 is never. Of several, each counts for itself.
struct Every {
  std::int64_t epochs = 0, steps = 0;
  double seconds = 0;  ///< at the first step after them
};

/// What a checkpointed fit does when one of Checkpoint::signals comes: ctrl-C (SIGINT), or SIGTERM, as clusters and
/// systemd send it. In each case it finishes the step and writes a checkpoint first. A signal that the program handles
/// itself is left to it.
enum class OnSignal {
  end,      ///< then the signal does what it would have done: it ends the program
  raise,    ///< then it throws thaw::Interrupted
  not_ours  ///< signals are left alone
};

/// Writes checkpoints, from which `thaw::resume` goes on as if nothing had happened: weights, optimizer, plan, frozen
/// groups, history, callbacks, random numbers, the place in the data.
///
///     thaw::resume(learner, "runs/a");
///     learner.fit(plan, thaw::Checkpoint{.dir = "runs/a", .every = {.epochs = 1, .seconds = 600}, .keep = 3});
///
/// One is also written as each stage ends. Each is one file, written beside, flushed and renamed, with a checksum; no
/// moment is without a whole one once the first is there. Nothing is written outside of `dir`.
///
/// Of several processes the first writes, and all wait for it; the next one may resume with another number of them.
///
/// Throws ConfigError before the first step for values that make no sense, and for a folder in which another run's
/// checkpoints lie or another process writes; FileError when it cannot write: the fit ends with it, the last checkpoint
/// stays, and the Learner can be used.
struct Checkpoint {
  std::filesystem::path dir = "checkpoints";
  Every every = {.epochs = 1};
  std::int64_t keep = 3;             ///< how many stay, the newest
  std::optional<Monitor> best = {};  ///< where given, the epoch that is best by it stays too, as best.safetensors
  bool asynchronous = false;         ///< copy the state, and let a thread write it; one at a time: the next one waits
  OnSignal on_signal = OnSignal::end;
  /// Which signals. Add SIGUSR1, SIGUSR2 or SIGXCPU where a scheduler sends one some time before it kills (Slurm's
  /// `--signal`). Of several that come, the last in the list counts.
  std::vector<int> signals = {SIGINT, SIGTERM};

  void on_stage_planned(const StagePlanned& event);
  void on_stage_begin(const StageBegin& event) { open(event.learner); }

  void on_run_state(const RunStateVisit& event);

  void on_safe_point(const SafePoint& event);

  void on_fit_end(const FitEnd&);

  /// What a thread is writing.
  struct Pending {
    std::future<void> done;
    void take_errors() {
      if (done.valid() && done.wait_for(std::chrono::seconds(0)) == std::future_status::ready) done.get();
    }
    void wait() {
      if (done.valid()) done.get();
    }
  };

  // run state
  std::int64_t epochs_ = 0, steps_ = 0;  // since the last checkpoint
  std::optional<double> best_ = {};
  std::chrono::steady_clock::time_point written_ = {};
  bool open_ = false;                                      // since this fit began
  std::shared_ptr<detail::CheckpointFolder> folder_ = {};  // of the first process
  std::shared_ptr<Pending> pending_ = {};                  // last but one: its thread uses the folder
  std::shared_ptr<Interrupts> interrupts_ = {};

 private:
  void open(const Learner& learner);

  /// Whether one is due, and which signal came: clocks differ, and a signal may come to one of several processes.
  [[nodiscard]] std::pair<bool, int> agreed(const World& world, bool due, const std::exception_ptr& failed) const;

  [[nodiscard]] bool is_due() const;

  bool improved(const EpochRecord& epoch);

  void write(Learner& learner, bool is_best);

  void write(RunState state, std::int64_t number, const std::string& run, bool is_best);

  /// Waits for the thread, and throws what it threw.
  void finish() {
    if (const auto pending = std::exchange(pending_, nullptr)) pending->wait();
  }

  void obey(int signal);
};

}  // namespace thaw

#if THAW_DEFINES(checkpoint)
#include <thaw/checkpoint/detail/folder.hpp>

namespace thaw {

THAW_INLINE void Checkpoint::on_stage_planned(const StagePlanned& event) {
  if (keep < 1) throw ConfigError("Checkpoint", "keep is " + std::to_string(keep), "keep at least 1");
  if (every.epochs < 0 || every.steps < 0 || !(every.seconds >= 0))
    throw ConfigError("Checkpoint", "every is negative", "give epochs, steps or seconds; 0 is never");
  for (const int signal : signals)
    if (!detail::can_wait(signal))
      throw ConfigError("Checkpoint",
                        "signals holds " + detail::signal_name(signal) + ", which cannot wait for a checkpoint",
                        "name signals that ask a program to end: SIGTERM, SIGUSR1, SIGXCPU, say");
  if (best) best->settle(event.learner, "Checkpoint");
  if (open_) return;
  const World& world = event.learner.world();
  world.together([&] {
    if (world.is_rank_zero()) detail::CheckpointFolder::check(dir, event.learner.run_id());
  });
}

THAW_INLINE void Checkpoint::on_run_state(const RunStateVisit& event) {
  if (event.state.reading() && event.fitting) open(event.learner);
  if (event.state.reading() && !event.state.has("epochs")) return;  // the state was written without it
  event.state("epochs", epochs_);
  event.state("steps", steps_);
  event.state("best", best_);
}

THAW_INLINE void Checkpoint::on_safe_point(const SafePoint& event) {
  const World& world = event.learner.world();
  const std::exception_ptr failed = detail::failure_of([&] {
    if (pending_) pending_->take_errors();
  });
  open(event.learner);
  steps_ += event.after == SafePoint::After::step ? 1 : 0;
  epochs_ += event.after == SafePoint::After::epoch ? 1 : 0;
  const bool ends = event.after == SafePoint::After::stage;
  const bool is_best = event.after == SafePoint::After::epoch && improved(event.learner.history().epochs.back());
  const auto [due, asked] = agreed(world, is_due(), failed);
  if (due || ends || is_best || asked != 0) write(event.learner, is_best);
  if (ends || asked != 0) world.together([&] { finish(); });
  const int signal = ends && asked == 0 ? agreed(world, false, {}).second : asked;
  if (signal != 0) obey(signal);
}

THAW_INLINE void Checkpoint::on_fit_end(const FitEnd&) {
  const std::shared_ptr<Interrupts> interrupts = std::exchange(interrupts_, nullptr);
  folder_.reset();
  open_ = false;
  // whatever the thread threw: a signal that came as an exception ended the fit
  const auto obey = c10::make_scope_exit([&] {
    if (interrupts != nullptr && on_signal == OnSignal::end) interrupts->raise_again();
  });
  finish();
}

THAW_INLINE void Checkpoint::open(const Learner& learner) {
  if (open_) return;
  const World& world = learner.world();
  world.together([&] {
    if (world.is_rank_zero()) folder_ = std::make_shared<detail::CheckpointFolder>(dir, learner.run_id());
  });
  open_ = true;
  written_ = std::chrono::steady_clock::now();
  if (on_signal != OnSignal::not_ours) interrupts_ = std::make_shared<Interrupts>(signals);
}

THAW_INLINE std::pair<bool, int> Checkpoint::agreed(const World& world, bool due,
                                                    const std::exception_ptr& failed) const {
  const int seen = interrupts_ ? interrupts_->seen() : 0;
  const std::vector<double> any = world.all_reduce({due ? 1.0 : 0.0, seen != 0 ? 1.0 : 0.0}, failed);
  if (any[1] == 0) return {any[0] > 0, 0};
  const std::vector<std::string> all = world.all_gather(std::to_string(seen));
  const auto last = std::ranges::find_if(signals.rbegin(), signals.rend(), [&](int signal) {
    return std::ranges::find(all, std::to_string(signal)) != all.end();
  });
  return {any[0] > 0, last == signals.rend() ? 0 : *last};
}

THAW_INLINE bool Checkpoint::is_due() const {
  return (every.epochs > 0 && epochs_ >= every.epochs) || (every.steps > 0 && steps_ >= every.steps) ||
         (every.seconds > 0 &&
          std::chrono::duration<double>(std::chrono::steady_clock::now() - written_).count() >= every.seconds);
}

THAW_INLINE bool Checkpoint::improved(const EpochRecord& epoch) {
  if (!best) return false;
  const double value = best->value(epoch);
  if (!best->improves(value, best_.value_or(best->worst()))) return false;
  best_ = value;
  return true;
}

THAW_INLINE void Checkpoint::write(Learner& learner, bool is_best) {
  const World& world = learner.world();
  world.together([&] { finish(); });
  if (every.epochs > 0 && epochs_ >= every.epochs) epochs_ = 0;
  if (every.steps > 0 && steps_ >= every.steps) steps_ = 0;
  RunState state = learner.run_state();
  const std::int64_t number = learner.states_taken();
  world.together([&] {
    if (world.is_rank_zero()) write(std::move(state), number, learner.run_id(), is_best);
  });
  written_ = std::chrono::steady_clock::now();
}

THAW_INLINE void Checkpoint::write(RunState state, std::int64_t number, const std::string& run, bool is_best) {
  if (asynchronous) {
    for (auto& [name, tensor] : state) tensor = tensor.to(at::kCPU, /*non_blocking=*/false, /*copy=*/true);
    pending_ = std::make_shared<Pending>();
    pending_->done = std::async(std::launch::async, [=, state = std::move(state), folder = folder_, keep = keep] {
      folder->add(state, number, run, keep, is_best);
    });
  } else {
    folder_->add(state, number, run, keep, is_best);
  }
}

THAW_INLINE void Checkpoint::obey(int signal) {
  if (on_signal == OnSignal::end) interrupts_->raise(signal);
  interrupts_.reset();
  throw Interrupted("Checkpoint",
                    signal == SIGINT ? "interrupted by ctrl-C" : "asked to end by " + detail::signal_name(signal),
                    "thaw::resume(learner, \"" + dir.string() + "\") goes on from here, with a new Learner");
}

}  // namespace thaw

#endif
