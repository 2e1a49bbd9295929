#pragma once

// What a checkpoint holds, and going on from it: members of Learner. Included by thaw/train/learner.hpp alone.

#include <ATen/ops/tensor.h>

#include <algorithm>
#include <map>

#include <thaw/core/seconds_since.hpp>
#include <thaw/train/detail/learner_file.hpp>
#include <thaw/train/detail/optimizer_state.hpp>
#include <thaw/train/detail/plan_text.hpp>
#include <thaw/train/detail/visit_history.hpp>
#include <thaw/train/detail/world_random.hpp>
#include <thaw/train/learner.hpp>

namespace thaw {

namespace detail {

/// Callbacks that remember something, each by its class and its number among those of that class.
[[nodiscard]] inline std::map<std::string, const Callback*> remembering(const std::vector<Callback>& callbacks,
                                                                        std::size_t of_learner) {
  std::map<std::string, const Callback*> result;
  for (std::size_t i = 0; i < callbacks.size(); ++i) {
    if (!callbacks[i].hears<RunStateVisit>()) continue;
    const std::string name = callbacks[i].name() + (i < of_learner ? " of the Learner" : "");
    std::string key = name;
    for (int n = 2; result.contains(key); ++n) key = name + ", number " + std::to_string(n);
    result.emplace(key, &callbacks[i]);
  }
  return result;
}

}  // namespace detail

THAW_INLINE void Learner::save(const std::filesystem::path& path) const {
  groups_.check_current();
  if (grad_scaler_) grad_scaler_->settle();
  const std::shared_ptr<void> whole = whole_optimizer();
  if (world_.is_rank_zero()) detail::save_learner(path, *groups_.module(), *optimizer_);
}

THAW_INLINE void Learner::load(const std::filesystem::path& path) {
  groups_.check_current();
  if (grad_scaler_) grad_scaler_->settle();
  detail::load_learner(path, *groups_.module(), *optimizer_);
  keep_own_state();
}

THAW_INLINE RunState Learner::run_state() {
  if (replays())
    throw ConfigError("Learner::run_state", "the run was resumed, and has not come to where it goes on",
                      "ask once the fit that was running goes on: see Learner::replays");
  groups_.check_current();
  ++states_taken_;
  if (grad_scaler_) grad_scaler_->settle();
  const std::shared_ptr<void> whole = whole_optimizer();
  RunState result;
  const StateVisitor state(result, /*reading=*/false);
  visit(state);
  detail::TrainingCursor cursor = cursor_;
  if (cursor.in_epoch()) cursor.seconds += detail::seconds_since(epoch_start_);
  detail::visit(state.in("place"), cursor);
  std::vector<std::string> plan = fit_ ? fit_->plan : std::vector<std::string>();
  state("plan", plan);
  visit_callbacks(state);
  return result;
}

THAW_INLINE void Learner::resume(RunState saved, const ResumeOptions& how) {
  refuse_in_callback("resume");
  if (fits_ != 0)
    throw ConfigError("Learner::resume", "this Learner has trained already",
                      "resume with a new Learner, before its first fit");
  const StateVisitor state(saved, /*reading=*/true);
  const std::string differences = model_differences(state);
  if (!differences.empty() && how.strict)
    throw ConfigError("Learner::resume", "the model or its optimizer is another one: " + differences,
                      "build both as they were, or say ResumeOptions{.strict = false} to take what fits");
  detail::TrainingCursor cursor;
  std::vector<std::string> groups;
  try {
    detail::visit(state.in("place"), cursor);
    state("groups", groups);
    History history{.groups = history_.groups};
    detail::visit(state.in("history"), history, groups);
    std::vector<std::string> fits;
    state("fits", fits);
    detail::check(cursor, history, std::ssize(fits));
    visit(state);
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    throw FileError("Learner::resume", std::string("the state makes no sense: ") + error.what(),
                    "resume with the version of thaw that wrote it");
  }
  cursor.frozen = detail::by_name(cursor.frozen, groups, history_.groups, false);
  if (!cursor.lr.empty()) cursor.lr = detail::by_name(cursor.lr, groups, history_.groups, 0.0);
  resumed_.emplace(Resumed{.state = std::move(saved), .cursor = std::move(cursor), .how = how});
}

/// A fit that was done before the checkpoint was written.
THAW_INLINE EpochRecord Learner::done_before(std::span<const Stage> plan) {
  const auto number = static_cast<std::size_t>(fits_);
  const std::string now = detail::in_short(plan), then = fit_plans_.at(number);
  Resumed& resumed = resumed_.value();
  if (resumed.how.strict && now != then)
    throw ConfigError("Learner::resume",
                      "a fit that was done is another one: the checkpoint has " + then + "; this run has " + now,
                      "fit the same plan, or say ResumeOptions{.strict = false}");
  ++fits_;
  if (!replays()) {  // it was the last: what the program did since it resumed may have changed something
    visit({resumed.state, /*reading=*/true});
    visit_callbacks({resumed.state, /*reading=*/true});
  }
  cursor_ = {.fit = fits_};
  return fit_records_.at(number);
}

/// Goes on with the running fit, which was planned anew.
THAW_INLINE void Learner::go_on(Resumed& from) {
  const StateVisitor state(from.state, /*reading=*/true);
  std::vector<std::string> plan;
  state("plan", plan);
  if (const std::string other = detail::differences(plan, fit_->plan); from.how.strict && !other.empty())
    throw ConfigError("Learner::resume", "the plan is another one: " + other,
                      "fit the same plan on the same data, or say ResumeOptions{.strict = false}");
  visit(state);
  checked_ = true;  // by the planning
  cursor_ = from.cursor;
  for (at::Tensor& loss : cursor_.losses) loss = loss.to(device());
  visit_callbacks(state, from.how.strict);
}

/// All but the place and the callbacks.
THAW_INLINE void Learner::visit(const StateVisitor& state) {
  state("run", run_id_);
  state("states taken", states_taken_);
  std::vector<std::string> groups = history_.groups;
  state("groups", groups);
  visit_model(state, groups);
  detail::visit_optimizer(state.in("optimizer"), *optimizer_, groups_);
  if (state.reading()) forget_misfits(state), keep_own_state();
  if (grad_scaler_) grad_scaler_->visit(state.in("loss scale"), device());
  detail::visit(state.in("history"), history_, groups);
  detail::visit(state.in("sweeps"), lr_curves_);
  detail::visit(state.in("decisions"), decisions_);
  detail::visit(state.in("best round"), best_round_, *groups_.module());
  state("fits", fit_plans_);
  detail::visit(state.in("fit records"), fit_records_);
  state("epochs begun", epochs_begun_);
  state("rate scale", lr_scale_);
  state("stop", stop_);
  auto layout = static_cast<std::int64_t>(mode_->layout);
  state("layout", layout);
  if (mode_->layout == Layout::automatic) mode_->layout = static_cast<Layout>(layout);
  auto precision = static_cast<std::int64_t>(mode_->precision);
  state("precision", precision);
  bool checked = checked_ || sanity_checked_before_;
  state("checked", checked);
  if (state.reading()) checked_ = false, sanity_checked_before_ = checked;
  visit_pass(state.in("train pass"), data_.train);
  visit_pass(state.in("validation pass"), data_.valid);
  std::vector<GeneratorState> generators = generator_states();
  detail::visit_generators(state.in("generators"), generators);
  if (state.reading()) set_generator_states(generators);  // last: reading the rest may draw
  if (!world_.is_single()) detail::visit_generators_of(world_, state.in("generators of processes"), device());
}

THAW_INLINE std::vector<double> Learner::decide_once(const std::function<std::vector<double>()>& decide) {
  if (resumed_ && decision_ < decisions_.size()) return decisions_[decision_++];
  std::vector<double> decided;
  world_.together([&] { decided = decide(); });
  if (!world_.is_single()) {
    at::Tensor values = at::tensor(decided, at::kDouble).to(device());
    world_.broadcast({values});
    values = values.cpu();
    decided.assign(values.const_data_ptr<double>(), values.const_data_ptr<double>() + values.numel());
  }
  decisions_.push_back(decided), ++decision_;
  return decided;
}

THAW_INLINE void Learner::visit_model(const StateVisitor& state, const std::vector<std::string>& groups) {
  const StateVisitor model = state.in("model");
  groups_.each_tensor([&](const std::string& name, const at::Tensor& own) {  // before anything has changed
    if (state.reading() && model.fits(name, own)) model.check(name, own);
  });
  groups_.each_tensor([&](const std::string& name, const at::Tensor& own) {
    if (!state.reading() || model.fits(name, own)) model.into(name, own);
  });
  std::vector<bool> frozen = groups_.frozen();
  NormRule norm = groups_.norm_rule();
  state("frozen", frozen);
  detail::visit(state.in("norm"), norm);
  if (state.reading()) (void)groups_.freeze(detail::by_name(frozen, groups, history_.groups, false), norm);
}

/// The optimizer's state of parameters that have another shape than in the checkpoint is of no use.
THAW_INLINE void Learner::forget_misfits(const StateVisitor& state) {
  const StateVisitor model = state.in("model");
  groups_.each_tensor([&](const std::string& name, const at::Tensor& own) {
    if (!model.fits(name, own)) forget_state(*optimizer_, {&own, 1});
  });
}

/// What of the model, its numbers, or which optimizer, a checkpoint has otherwise.
THAW_INLINE std::string Learner::model_differences(const StateVisitor& state) const {
  std::vector<std::string> then = state.in("model").described(), now;
  groups_.each_tensor(
      [&](const std::string& name, const at::Tensor& tensor) { now.push_back(StateVisitor::described(name, tensor)); });
  std::string optimizer = detail::optimizer_kind(*optimizer_), saved;
  state("optimizer/kind", saved);
  now.push_back("optimizer " + optimizer), then.push_back("optimizer " + saved);
  std::vector<std::string> groups;
  state("groups", groups);
  for (const std::string& name : history_.groups) now.push_back("layer group \"" + name + "\"");
  for (const std::string& name : groups) then.push_back("layer group \"" + name + "\"");
  std::int64_t layout = 0, precision = 0;
  state("layout", layout);
  state("precision", precision);
  const auto add = [&](const std::string& what, const auto& names, std::int64_t before, std::int64_t here) {
    const bool known = before >= 0 && before < std::ssize(names);  // the file may say anything
    then.push_back(what + " " + (known ? names[static_cast<std::size_t>(before)] : std::to_string(before)));
    now.push_back(what + " " + names[static_cast<std::size_t>(here)]);
  };
  static const std::vector<std::string> layouts{"automatic", "contiguous", "channels_last"};
  static const std::vector<std::string> precisions{"full", "bfloat16", "float16"};
  if (mode_->layout != Layout::automatic && layout != static_cast<std::int64_t>(Layout::automatic))
    add("layout", layouts, layout, static_cast<std::int64_t>(mode_->layout));
  add("precision", precisions, precision, static_cast<std::int64_t>(mode_->precision));
  return detail::differences(then, now);
}

/// A pass over data whose first batch was looked at, and which is still to come.
THAW_INLINE void Learner::visit_pass(const StateVisitor& state, const DataSource& source) {
  std::vector<GeneratorState> from = source.begun_from();
  detail::visit_generators(state, from);
  if (!state.reading()) return;
  source.restart();
  if (from.empty() || !source) return;
  set_generator_states(from);
  (void)source.first(epochs_begun_, world_.shard());
}

/// Of the running fit, or between two of them the Learner's own. Those that remember nothing do not count.
THAW_INLINE void Learner::visit_callbacks(const StateVisitor& all, bool strict) {
  const StateVisitor state = all.in("callbacks");
  const auto callbacks = detail::remembering(fit_ ? *fit_->callbacks : callbacks_, callbacks_.size());
  std::vector<std::string> names, now;
  if (state.reading()) state("names", names);
  const auto refuse = [&](const std::string& how) {
    if (fit_ && strict)
      throw ConfigError("Learner::resume", "the callbacks are others: " + how,
                        "give the same ones, or say ResumeOptions{.strict = false}");
  };
  for (const std::string& name : names)
    if (!callbacks.contains(name)) refuse("the checkpoint has " + name);
  for (const auto& [name, callback] : callbacks) {
    const std::size_t before = state.size();
    try {
      callback->on(RunStateVisit{.learner = *this, .state = state.in(name), .fitting = fit_ != nullptr});
    } catch (const FileError&) {
      if (std::ranges::find(names, name) != names.end()) throw;
      refuse("this run has " + name);
    }
    if (state.size() > before) now.push_back(name);
  }
  if (!state.reading()) state("names", now);
}

}  // namespace thaw
