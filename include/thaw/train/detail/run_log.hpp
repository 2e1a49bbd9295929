// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/find/lr_curve.hpp>
#include <thaw/train/detail/training_cursor.hpp>
#include <thaw/train/detail/visit_history.hpp>
#include <thaw/train/history.hpp>
#include <thaw/train/run_state.hpp>
#include <thaw/train/weight_copy.hpp>

namespace thaw::detail {

/// A run that another process began, until the fit comes that it was in.
struct Resumed {
  RunState state;
  TrainingCursor cursor;
  ResumeOptions how;
};

/// What a run gave, one after the other, in the order of its program's calls. A resumed program makes the same calls
/// again, and is given what they gave.
template <class T>
class Answers {
 public:
  /// The answer to the call that is made now, if it was made before.
  [[nodiscard]] const T* next() { return asked_ < all_.size() ? &all_[asked_++] : nullptr; }
  void add(T answer) { all_.push_back(std::move(answer)), ++asked_; }
  /// What a checkpoint has beyond this is of calls that were made before the fit that goes on.
  void skip_to_end() { asked_ = all_.size(); }
  [[nodiscard]] const std::vector<T>& all() const { return all_; }
  [[nodiscard]] std::vector<T>& all() { return all_; }

 private:
  std::vector<T> all_ = {};
  std::size_t asked_ = 0;
};

/// What a run has done so far.
struct RunLog {
  std::string run_id = new_run_id();
  History history = {};
  std::int64_t states_taken = 0;
  std::int64_t fits = 0;                      // that were begun and have ended
  std::vector<std::string> fit_plans = {};    // of each, in short
  std::vector<EpochRecord> fit_records = {};  // what each gave
  Answers<LRCurve> lr_curves = {};
  Answers<std::vector<double>> decisions = {};
  std::optional<WeightCopy> best_round = {};  // of fit_until_overfit
  std::optional<Resumed> resumed = {};

  /// Whether a resumed program has not come to where the run goes on.
  [[nodiscard]] bool replays() const { return resumed && (fits < resumed->cursor.fit || resumed->cursor.in_fit()); }
  /// Whether the fit that comes was done before.
  [[nodiscard]] bool has_next_fit() const { return resumed && fits < resumed->cursor.fit; }

  /// `groups`: as the run that is read or written has them.
  void visit(const StateVisitor& state, const std::vector<std::string>& groups, torch::nn::Module& module);
};

}  // namespace thaw::detail

#if THAW_DEFINES(train)

namespace thaw::detail {

THAW_INLINE void RunLog::visit(const StateVisitor& state, const std::vector<std::string>& groups,
                               torch::nn::Module& module) {
  state("run", run_id);
  state("states taken", states_taken);
  detail::visit(state.in("history"), history, groups);
  detail::visit(state.in("sweeps"), lr_curves.all());
  detail::visit(state.in("decisions"), decisions.all());
  detail::visit(state.in("best round"), best_round, module);
  state("fits", fit_plans);
  detail::visit(state.in("fit records"), fit_records);
}

}  // namespace thaw::detail

#endif
