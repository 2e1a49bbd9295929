// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What a checkpoint holds, and going on from it.

#include <ATen/ops/tensor.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/core/error.hpp>
#include <thaw/train/detail/learner_parts.hpp>
#include <thaw/train/detail/optimizer_state.hpp>
#include <thaw/train/detail/plan_text.hpp>
#include <thaw/train/detail/visit_history.hpp>
#include <thaw/train/detail/world_random.hpp>

#if THAW_DEFINES(train)

namespace thaw::detail {

// ---- the model, its optimizer, how it is computed ----

THAW_INLINE void visit_model(const StateVisitor& state, Setup& setup, const std::vector<std::string>& groups) {
  const StateVisitor model = state.in("model");
  setup.groups.each_tensor([&](const std::string& name, const at::Tensor& own) {  // before anything has changed
    if (state.reading() && model.fits(name, own)) model.check(name, own);
  });
  setup.groups.each_tensor([&](const std::string& name, const at::Tensor& own) {
    if (!state.reading() || model.fits(name, own)) model.into(name, own);
  });
  std::vector<bool> frozen = setup.groups.frozen();
  NormRule norm = setup.groups.norm_rule();
  state("frozen", frozen);
  visit(state.in("norm"), norm);
  if (state.reading()) (void)setup.groups.freeze(by_name(frozen, groups, names_of(setup.groups), false), norm);
}

/// The optimizer's state of parameters that have another shape than in the checkpoint is of no use.
THAW_INLINE void forget_misfits(const StateVisitor& state, const Setup& setup) {
  const StateVisitor model = state.in("model");
  setup.groups.each_tensor([&](const std::string& name, const at::Tensor& own) {
    if (!model.fits(name, own)) forget_state(*setup.optimizer, {&own, 1});
  });
}

THAW_INLINE void visit(const StateVisitor& state, Setup& setup, const std::vector<std::string>& groups) {
  visit_model(state, setup, groups);
  visit_optimizer(state.in("optimizer"), *setup.optimizer, setup.groups);
  if (state.reading()) forget_misfits(state, setup), setup.world.keep_own_state();
  auto layout = static_cast<std::int64_t>(setup.mode->layout);
  state("layout", layout);
  if (setup.mode->layout == Layout::automatic) setup.mode->layout = static_cast<Layout>(layout);
  auto precision = static_cast<std::int64_t>(setup.mode->precision);
  state("precision", precision);
}

/// What of the model, its numbers, or which optimizer, a checkpoint has otherwise.
THAW_INLINE std::string model_differences(const StateVisitor& state, const Setup& setup) {
  std::vector<std::string> then = state.in("model").described(), now;
  setup.groups.each_tensor(
      [&](const std::string& name, const at::Tensor& tensor) { now.push_back(StateVisitor::described(name, tensor)); });
  std::string optimizer = optimizer_kind(*setup.optimizer), saved;
  state("optimizer/kind", saved);
  now.push_back("optimizer " + optimizer), then.push_back("optimizer " + saved);
  std::vector<std::string> groups;
  state("groups", groups);
  for (const std::string& name : names_of(setup.groups)) now.push_back("layer group \"" + name + "\"");
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
  const ComputeMode& mode = *setup.mode;
  if (mode.layout != Layout::automatic && layout != static_cast<std::int64_t>(Layout::automatic))
    add("layout", layouts, layout, static_cast<std::int64_t>(mode.layout));
  add("precision", precisions, precision, static_cast<std::int64_t>(mode.precision));
  return differences(then, now);
}

// ---- callbacks ----

/// Those that remember something, each by its class and its number among those of that class.
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

/// Of the running fit, or between two of them the Learner's own. Those that remember nothing do not count.
THAW_INLINE void visit_callbacks(const StateVisitor& all, LearnerParts& parts, bool strict = true) {
  const StateVisitor state = all.in("callbacks");
  const bool fitting = parts.fit != nullptr;
  const std::vector<Callback> own = parts.setup.all_callbacks({});
  const auto callbacks = remembering(fitting ? parts.fit->callbacks : own, own.size());
  std::vector<std::string> names, now;
  if (state.reading()) state("names", names);
  const auto refuse = [&](const std::string& how) {
    if (fitting && strict)
      throw ConfigError("Learner::resume", "the callbacks are others: " + how,
                        "give the same ones, or say ResumeOptions{.strict = false}");
  };
  for (const std::string& name : names)
    if (!callbacks.contains(name)) refuse("the checkpoint has " + name);
  for (const auto& entry : callbacks) {
    const std::string& name = entry.first;
    const std::size_t before = state.size();
    try {
      entry.second->on(RunStateVisit{.learner = parts.learner, .state = state.in(name), .fitting = fitting});
    } catch (const FileError&) {
      if (std::ranges::find(names, name) != names.end()) throw;
      refuse("this run has " + name);
    }
    if (state.size() > before) now.push_back(name);
  }
  if (!state.reading()) state("names", now);
}

// ---- all of it ----

/// All but the place and the callbacks: each part says its own.
THAW_INLINE void visit(const StateVisitor& state, LearnerParts& parts) {
  std::vector<std::string> groups = parts.log.history.groups;
  state("groups", groups);
  visit(state, parts.setup, groups);
  parts.engine.visit(state);
  parts.log.visit(state, groups, *parts.setup.groups.module());
  parts.control.visit(state);
  parts.data.visit(state);
  std::vector<GeneratorState> generators = generator_states();
  visit_generators(state.in("generators"), generators);
  if (state.reading()) set_generator_states(generators);  // last: reading the rest may draw
  if (!parts.setup.world.is_single())
    visit_generators_of(parts.setup.world, state.in("generators of processes"), parts.setup.device());
}

THAW_INLINE RunState run_state(LearnerParts& parts) {
  if (parts.log.replays())
    throw ConfigError("Learner::run_state", "the run was resumed, and has not come to where it goes on",
                      "ask once the fit that was running goes on: see Learner::replays");
  if (parts.engine.finding_lr() || (parts.fit != nullptr && !parts.loop.at_safe_point()))
    throw ConfigError("Learner::run_state", "a callback asks for it within a step, an epoch or a stage",
                      "ask in on_safe_point, once all callbacks have heard of its end, or between two fits");
  parts.setup.groups.check_current();
  ++parts.log.states_taken;
  parts.engine.settle();
  const WholeOptimizer whole(parts.setup);
  RunState result;
  const StateVisitor state(result, /*reading=*/false);
  visit(state, parts);
  TrainingCursor cursor = parts.loop.cursor;
  cursor.seconds += parts.loop.seconds();
  visit(state.in("place"), cursor);
  std::vector<std::string> plan = parts.fit ? parts.fit->plan : std::vector<std::string>();
  state("plan", plan);
  visit_callbacks(state, parts);
  return result;
}

THAW_INLINE void resume(LearnerParts& parts, RunState saved, const ResumeOptions& how) {
  parts.refuse_in_callback("Learner::resume");
  if (parts.log.fits != 0)
    throw ConfigError("Learner::resume", "this Learner has trained already",
                      "resume with a new Learner, before its first fit");
  const StateVisitor state(saved, /*reading=*/true);
  const std::string other = model_differences(state, parts.setup);
  if (!other.empty() && how.strict)
    throw ConfigError("Learner::resume", "the model or its optimizer is another one: " + other,
                      "build both as they were, or say ResumeOptions{.strict = false} to take what fits");
  const std::vector<std::string> own_groups = names_of(parts.setup.groups);
  TrainingCursor cursor;
  std::vector<std::string> groups;
  try {
    visit(state.in("place"), cursor);
    state("groups", groups);
    History history{.groups = own_groups};
    visit(state.in("history"), history, groups);
    std::vector<std::string> fits;
    state("fits", fits);
    check(cursor, history, std::ssize(fits));
    visit(state, parts);
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    throw FileError("Learner::resume", std::string("the state makes no sense: ") + error.what(),
                    "resume with the version of thaw that wrote it");
  }
  cursor.frozen = by_name(cursor.frozen, groups, own_groups, false);
  if (!cursor.lr.empty()) cursor.lr = by_name(cursor.lr, groups, own_groups, 0.0);
  parts.log.resumed.emplace(Resumed{.state = std::move(saved), .cursor = std::move(cursor), .how = how});
}

THAW_INLINE EpochRecord done_before(LearnerParts& parts, std::span<const Stage> plan) {
  RunLog& log = parts.log;
  const auto number = static_cast<std::size_t>(log.fits);
  const std::string now = in_short(plan), then = log.fit_plans.at(number);
  Resumed& resumed = log.resumed.value();
  if (resumed.how.strict && now != then)
    throw ConfigError("Learner::resume",
                      "a fit that was done is another one: the checkpoint has " + then + "; this run has " + now,
                      "fit the same plan, or say ResumeOptions{.strict = false}");
  ++log.fits;
  if (!log.replays()) {  // it was the last: what the program did since it resumed may have changed something
    const StateVisitor state(resumed.state, /*reading=*/true);
    visit(state, parts);
    visit_callbacks(state, parts);
  }
  parts.loop.cursor = {.fit = log.fits};
  return log.fit_records.at(number);
}

THAW_INLINE void go_on(LearnerParts& parts, Resumed& from) {
  const StateVisitor state(from.state, /*reading=*/true);
  std::vector<std::string> plan;
  state("plan", plan);
  if (const std::string other = differences(plan, parts.fit->plan); from.how.strict && !other.empty())
    throw ConfigError("Learner::resume", "the plan is another one: " + other,
                      "fit the same plan on the same data, or say ResumeOptions{.strict = false}");
  visit(state, parts);
  parts.data.was_checked();  // by the planning
  parts.loop.cursor = from.cursor;
  for (at::Tensor& loss : parts.loop.cursor.losses) loss = loss.to(parts.setup.device());
  visit_callbacks(state, parts, from.how.strict);
}

}  // namespace thaw::detail

#endif
