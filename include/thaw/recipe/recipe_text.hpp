// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include <thaw/core/compiled.hpp>
#include <thaw/recipe/recipe.hpp>

namespace thaw {

/// A line for each note and each stage, with its reason. Ends with a line break.
///
///     fmt::print("{}", thaw::make_plan(learner, {.epochs = 5}));
[[nodiscard]] std::string to_text(const RecipePlan& plan);

/// A line for each stage: its rate, what it brought, and what was kept. Ends with a line break.
[[nodiscard]] std::string to_text(const RecipeResult& result);

}  // namespace thaw

template <>
struct fmt::formatter<thaw::RecipePlan> : fmt::formatter<std::string_view> {
  template <class Context>
  auto format(const thaw::RecipePlan& plan, Context& context) const {
    return fmt::formatter<std::string_view>::format(thaw::to_text(plan), context);
  }
};

template <>
struct fmt::formatter<thaw::RecipeResult> : fmt::formatter<std::string_view> {
  template <class Context>
  auto format(const thaw::RecipeResult& result, Context& context) const {
    return fmt::formatter<std::string_view>::format(thaw::to_text(result), context);
  }
};

#if THAW_DEFINES(recipe)

namespace thaw {

THAW_INLINE std::string to_text(const RecipePlan& plan) {
  std::string text = plan.size ? fmt::format("images of {} px\n", *plan.size) : std::string();
  for (const std::string& note : plan.notes) text += "note: " + note + "\n";
  for (const RecipeStage& each : plan.stages)
    text += fmt::format("{}: {} {}. {}\n", each.stage.name, each.stage.epochs,
                        each.stage.epochs == 1 ? "epoch" : "epochs", each.why);
  return text + fmt::format("kept: what has the best {}\n", plan.metric);
}

THAW_INLINE std::string to_text(const RecipeResult& result) {
  std::string text;
  for (const RecipeStageResult& each : result.stages) {
    text += fmt::format("{}: {} {:.4f} -> {:.4f}", each.name, result.metric, each.before, each.after);
    if (each.lr > 0) text += fmt::format(", rate {:.1e}", each.lr);
    text += (each.what.empty() ? "" : ", " + each.what) + "\n";
  }
  return text;
}

}  // namespace thaw

#endif
