// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstddef>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/core/error.hpp>
#include <thaw/core/names.hpp>
#include <thaw/train/history.hpp>
#include <thaw/train/learner.hpp>
#include <thaw/train/metric.hpp>

namespace thaw {

namespace detail {

/// By the words of well-known names; none for others, and for those that turn a word round.
std::optional<Better> better_by_name(std::string_view name);

}  // namespace detail

/// A number of each epoch to watch: "valid_loss", "train_loss", or a metric by its name; of one that has a value per
/// class "iou[cat]" or "iou[0]". Which way it should go is said here, or by the metric (Metric::better), or known by
/// its name: lower for one with a word "loss", "mae", "mse", "error" or "perplexity", higher for "accuracy", "f1",
/// "iou" and the like. Where none of these says it, or two metrics have that name, that is an error before training.
struct Monitor {
  std::string name = "valid_loss";
  Better better = Better::by_name;
  double min_delta = 0;  ///< a change counts as better only when it is larger than this

  Monitor() = default;
  Monitor(std::string name_, Better better_ = Better::by_name, double min_delta_ = 0)
      : name(std::move(name_)), better(better_), min_delta(min_delta_) {}
  Monitor(const char* name_) : name(name_) {}

  [[nodiscard]] bool lower_is_better() const;
  /// The worst that there can be, to begin with.
  [[nodiscard]] double worst() const { return (lower_is_better() ? 1 : -1) * std::numeric_limits<double>::infinity(); }
  /// Is `value` better than `best` by more than min_delta? NaN never is.
  [[nodiscard]] bool improves(double value, double best) const {
    return lower_is_better() ? value < best - min_delta : value > best + min_delta;
  }

  /// Its value in an epoch. NaN where the epoch has no validation, or a validation loss of NaN: outputs that are no
  /// numbers still have a largest one, and so an accuracy. Throws ConfigError where the validation lacks it.
  [[nodiscard]] double value(const EpochRecord& epoch) const;

  /// Takes the direction from the Learner's metric where it is not given here. Throws ConfigError before training when
  /// the Learner will never have such a number, or nobody says which way it should go.
  void settle(const Learner& learner, const char* who);
};

}  // namespace thaw

#if THAW_DEFINES(train)

namespace thaw::detail {

THAW_INLINE std::optional<Better> better_by_name(std::string_view name) {
  const auto has = [&, is_letter = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }](
                       std::string_view word) {  // a whole one: "dice" is none of "indices"
    for (std::size_t at = name.find(word); at != std::string_view::npos; at = name.find(word, at + 1)) {
      const std::size_t end = at + word.size();
      if ((at == 0 || !is_letter(name[at - 1])) && (end == name.size() || !is_letter(name[end]))) return true;
    }
    return false;
  };
  for (const char* word : {"neg", "negative", "minus", "no", "non", "not", "gap", "drop", "change"})
    if (has(word)) return std::nullopt;  // as scikit-learn's neg_mean_squared_error
  for (const char* word : {"loss", "mae", "mse", "rmse", "error", "errors", "perplexity"})
    if (has(word)) return Better::lower;
  for (const char* word : {"accuracy", "precision", "recall", "auc", "auroc", "f1", "iou", "miou", "dice", "r2", "top"})
    if (has(word)) return Better::higher;
  return std::nullopt;
}

}  // namespace thaw::detail

namespace thaw {

THAW_INLINE bool Monitor::lower_is_better() const {
  return (better != Better::by_name ? better : detail::better_by_name(name).value_or(Better::higher)) == Better::lower;
}

THAW_INLINE double Monitor::value(const EpochRecord& epoch) const {
  if (name == "train_loss") return epoch.train_loss;
  if (epoch.valid && !std::isnan(epoch.valid->loss)) {
    if (name == "valid_loss") return epoch.valid->loss;
    std::vector<std::string> known;
    for (const MetricValue& metric : epoch.valid->metrics) {
      if (metric.name == name) return metric.value;
      known.push_back(metric.name);
    }
    const std::string whole = name.substr(0, name.find('[')) + "[";
    std::size_t of_class = 0;  // "iou[1]" is the second class's, where classes have names
    for (const MetricValue& metric : epoch.valid->metrics)
      if (metric.name.starts_with(whole) && name == whole + std::to_string(of_class++) + "]") return metric.value;
    throw ConfigError("Monitor", "no metric is called \"" + name + "\"", "watch one of: " + join_names(known));
  }
  return std::numeric_limits<double>::quiet_NaN();
}

THAW_INLINE void Monitor::settle(const Learner& learner, const char* who) {
  std::vector<std::string> known{"train_loss"};
  if (learner.data().valid) {
    known.emplace_back("valid_loss");
    for (const Metric& metric : learner.metrics()) known.push_back(metric.name);
  }
  const std::string whole = name.substr(0, name.find('['));  // a class of a metric that has a value per class
  if (std::ranges::find(known, whole) == known.end())
    throw ConfigError(
        who, "nothing is called \"" + name + "\"",
        "watch one of: " + join_names(known) + (learner.data().valid ? "" : " (there is no validation data)"));
  if (const std::vector<std::string> classes = learner.data().valid.classes(); !classes.empty() && whole != name) {
    const std::string of = name.substr(whole.size() + 1, name.size() - whole.size() - 2);
    if (std::ranges::find(classes, of) == classes.end() && of.find_first_not_of("0123456789") != std::string::npos)
      throw ConfigError(who, "no class is called \"" + of + "\"", "watch one of: " + join_names(classes));
  }
  if (!(min_delta >= 0 && std::isfinite(min_delta)))
    throw ConfigError(who, "min_delta is " + detail::number(min_delta), "give a finite number, 0 or more");
  if (std::ranges::count(known, whole) > 1)
    throw ConfigError(who, "more than one number is called \"" + whole + "\"",
                      "give each metric a name of its own: metric.name = \"...\"");
  if (better != Better::by_name) return;
  for (const Metric& metric : learner.metrics())
    if (metric.name == whole) better = metric.better;
  if (better != Better::by_name || detail::better_by_name(name)) return;
  throw ConfigError(who, "nothing says whether \"" + name + "\" should rise or fall",
                    "say Monitor{\"" + name + "\", Better::lower}, or set the metric's `better`");
}

}  // namespace thaw

#endif
