// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <c10/core/GradMode.h>

#include <list>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/core/forward_part.hpp>
#include <thaw/core/random_state.hpp>
#include <thaw/find/snapshot.hpp>
#include <thaw/train/detail/compute_mode.hpp>
#include <thaw/train/detail/task.hpp>
#include <thaw/train/frozen_split.hpp>

namespace thaw::detail {

/// Throws ConfigError for a model that cannot be run in parts, where `where` asks for that.
inline void check_has_parts(const Task& task, const std::string& where) {
  if (!task.parts)
    throw ConfigError(where, "the model cannot be run in parts",
                      "let it be a torch::nn::Sequential, or give it forward_parts(): see thaw::ForwardPart");
}

/// Throws ConfigError where the parts, one after the other, do not give what the whole model gives.
inline void check_parts(const Task& task, const Fields& input) {
  const std::vector<ForwardPart> parts = task.parts();
  const c10::NoGradGuard no_grad;
  const RandomState random;
  std::list<TrainingFlags> flags;
  for (const ForwardPart& part : parts)
    for (const auto& module : part.modules) flags.emplace_back(*module);
  for (const ForwardPart& part : parts)
    for (const auto& module : part.modules) module->eval();
  if (!same(FrozenSplit{.suffix = parts}.output(input), task.forward(input)))
    throw ConfigError("model", "its forward_parts() do not give what its forward gives",
                      "let them do the same, one after the other");
}

/// The same task, whose model is run by its parts where gradients are wanted.
inline Task run_in_parts(Task task, RunParts run) {
  if (!run) return task;
  check_has_parts(task, "LearnerOptions::run_parts");
  Task result = task;
  result.forward = [task = std::move(task), run = std::move(run), checked = false](const Fields& input) mutable {
    if (!c10::GradMode::is_enabled()) return task.forward(input);
    if (!std::exchange(checked, true)) check_parts(task, few(input));
    return Fields(run(task.parts(), input.as<ForwardPart::Tensors>()));
  };
  return result;
}

}  // namespace thaw::detail
