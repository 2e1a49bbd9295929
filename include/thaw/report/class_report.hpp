// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <c10/util/StringUtil.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <thaw/core/compiled.hpp>
#include <thaw/core/error.hpp>
#include <thaw/report/confusion_matrix.hpp>
#include <thaw/report/detail/numbers.hpp>
#include <thaw/report/table.hpp>

namespace thaw {

/// How well a class is recognised, or several on average. 0 for 0 / 0.
struct ClassScores {
  double precision = 0;      ///< the share of what was taken for it that is it
  double recall = 0;         ///< the share of it that was recognised
  double f1 = 0;             ///< their harmonic mean
  std::int64_t support = 0;  ///< samples of it
};

/// Precision, recall, F1 and support of each class, and their averages. Source: scikit-learn's classification_report
/// with zero_division=0. Classes that occur neither among targets nor among predictions do not count in `macro`, as in
/// thaw's metrics; scikit-learn leaves them out where it is given no labels.
class ClassReport {
 public:
  /// Of samples with one class each. `micro` is the accuracy then.
  explicit ClassReport(const ConfusionMatrix& matrix);

  /// Of samples with any number of classes. `output`: [N, classes] logits, of which those count whose sigmoid is above
  /// the threshold; `target`: [N, classes] of 0 and 1. Throws DataError for other shapes, ConfigError where there are
  /// not as many names as classes.
  [[nodiscard]] static ClassReport of_labels(const at::Tensor& output, const at::Tensor& target,
                                             std::vector<std::string> classes = {}, double threshold = 0.5);

  [[nodiscard]] const std::vector<std::string>& classes() const { return classes_; }
  /// Of each class.
  [[nodiscard]] const std::vector<ClassScores>& scores() const { return scores_; }
  /// Of all decisions together.
  [[nodiscard]] const ClassScores& micro() const { return micro_; }
  /// The mean over classes.
  [[nodiscard]] const ClassScores& macro() const { return macro_; }
  /// The mean over samples: each class counts by its support.
  [[nodiscard]] const ClassScores& weighted() const { return weighted_; }

 private:
  /// Of a class: how often it was recognised, was there, and was predicted.
  struct Counts {
    std::int64_t right = 0, actual = 0, predicted = 0;
  };

  ClassReport() = default;

  static double ratio(double a, double b) { return b == 0 ? 0 : a / b; }
  static ClassScores scores_of(const Counts& n);

  void average();

  static void add(ClassScores& to, const ClassScores& from, double weight);

  std::vector<std::string> classes_;
  std::vector<Counts> counts_;
  std::vector<ClassScores> scores_;
  ClassScores micro_, macro_, weighted_;
};

/// A row for each class, then one for each average.
[[nodiscard]] Table class_table(const ClassReport& report);

/// `class_table(report)` as text. Ends with a line break.
[[nodiscard]] std::string to_text(const ClassReport& report);

}  // namespace thaw

/// `fmt::print("{}", report)` prints what `to_text(report)` gives.
template <>
struct fmt::formatter<thaw::ClassReport> {
  constexpr auto parse(format_parse_context& context) { return context.begin(); }
  template <class Context>
  auto format(const thaw::ClassReport& report, Context& context) const {
    return fmt::format_to(context.out(), "{}", thaw::to_text(report));
  }
};

#if THAW_DEFINES(report)

namespace thaw {

THAW_INLINE ClassReport::ClassReport(const ConfusionMatrix& matrix) : classes_(matrix.classes()) {
  for (std::int64_t i = 0; i < matrix.size(); ++i)
    counts_.push_back({matrix.count(i, i), matrix.counts().select(0, i).sum().item<std::int64_t>(),
                       matrix.counts().select(1, i).sum().item<std::int64_t>()});
  average();
}

THAW_INLINE ClassReport ClassReport::of_labels(const at::Tensor& output, const at::Tensor& target,
                                               std::vector<std::string> classes, double threshold) {
  if (output.dim() != 2 || output.sizes() != target.sizes())
    throw DataError("ClassReport", c10::str("the output is ", output.sizes(), ", the targets are ", target.sizes()),
                    "give [samples, classes] of both");
  const std::int64_t n = output.size(1);
  if (!classes.empty() && std::ssize(classes) != n)
    throw ConfigError("ClassReport", fmt::format("{} names for {} classes", classes.size(), n),
                      "name each class, in their order");
  const at::Tensor predicted = output.detach().cpu().sigmoid().gt(threshold), actual = target.cpu().gt(0.5);
  ClassReport report;
  for (std::int64_t i = 0; i < n; ++i) {
    const at::Tensor p = predicted.select(1, i), a = actual.select(1, i);
    report.counts_.push_back(
        {(p & a).sum().item<std::int64_t>(), a.sum().item<std::int64_t>(), p.sum().item<std::int64_t>()});
    if (classes.empty()) report.classes_.push_back(std::to_string(i));
  }
  if (!classes.empty()) report.classes_ = std::move(classes);
  report.average();
  return report;
}

THAW_INLINE ClassScores ClassReport::scores_of(const Counts& n) {
  const auto right = static_cast<double>(n.right), actual = static_cast<double>(n.actual),
             predicted = static_cast<double>(n.predicted);
  return {.precision = ratio(right, predicted),
          .recall = ratio(right, actual),
          .f1 = ratio(2 * right, actual + predicted),
          .support = n.actual};
}

THAW_INLINE void ClassReport::average() {
  Counts all;
  double present = 0;
  for (const Counts& n : counts_) {
    scores_.push_back(scores_of(n));
    all = {all.right + n.right, all.actual + n.actual, all.predicted + n.predicted};
    if (n.actual + n.predicted > 0) ++present;
  }
  micro_ = scores_of(all);
  for (const ClassScores& each : scores_) {  // those of a class that does not occur are 0
    add(macro_, each, ratio(1, present));
    add(weighted_, each, ratio(static_cast<double>(each.support), static_cast<double>(all.actual)));
  }
  macro_.support = weighted_.support = all.actual;
}

THAW_INLINE void ClassReport::add(ClassScores& to, const ClassScores& from, double weight) {
  to.precision += weight * from.precision;
  to.recall += weight * from.recall;
  to.f1 += weight * from.f1;
}

THAW_INLINE Table class_table(const ClassReport& report) {
  Table table{.headers = {"class", "precision", "recall", "f1", "support"}};
  const auto row = [&](const std::string& name, const ClassScores& of) {
    table.add(name, fmt::format("{:.4f}", of.precision), fmt::format("{:.4f}", of.recall), fmt::format("{:.4f}", of.f1),
              detail::with_separators(of.support));
  };
  for (std::size_t i = 0; i < report.classes().size(); ++i) row(report.classes()[i], report.scores()[i]);
  row("micro average", report.micro());
  row("macro average", report.macro());
  row("weighted average", report.weighted());
  return table;
}

THAW_INLINE std::string to_text(const ClassReport& report) {
  return to_text(class_table(report));
}

}  // namespace thaw

#endif
