// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <thaw/core/compiled.hpp>
#include <thaw/report/class_report.hpp>
#include <thaw/report/confusion_matrix.hpp>
#include <thaw/report/confusion_plot.hpp>
#include <thaw/report/detail/classes.hpp>
#include <thaw/report/html.hpp>
#include <thaw/report/table.hpp>
#include <thaw/report/top_losses.hpp>
#include <thaw/train/learner.hpp>

namespace thaw {

/// What a classifier makes of a source: which classes it takes for which, and at which samples it is worst.
struct ClassResults {
  ConfusionMatrix matrix;
  std::vector<SampleLoss> losses = {};  ///< see TopLosses
};

/// Both in one pass over the source: as `ConfusionMatrix(learner, source, options)` and `top_losses(learner, source,
/// which)`, with their errors. Leaves the module in evaluation mode.
///
///     const thaw::ClassResults results = thaw::class_results(learner, valid, {.classes = {"cat", "dog"}});
///     fmt::print("{}", results);
[[nodiscard]] ClassResults class_results(Learner& learner, const DataSource& source,
                                         ConfusionMatrixOptions options = {}, const TopLosses& which = {});

namespace detail {

/// The most frequent mistakes: what a reader takes in.
[[nodiscard]] Table worst_confusions(const ConfusionMatrix& matrix);

}  // namespace detail

/// The matrix, the ten most frequent mistakes, the scores of each class. Ends with a line break.
[[nodiscard]] std::string to_text(const ClassResults& results);

/// The same as a part of a page, the matrix as a figure. Pictures of the worst samples are for the caller to add, who
/// knows what a sample looks like: see vision/loss_tiles.hpp.
void add_to(HtmlPart& page, const ClassResults& results);

}  // namespace thaw

/// `fmt::print("{}", results)` prints what `to_text(results)` gives.
template <>
struct fmt::formatter<thaw::ClassResults> {
  constexpr auto parse(format_parse_context& context) { return context.begin(); }
  template <class Context>
  auto format(const thaw::ClassResults& results, Context& context) const {
    return fmt::format_to(context.out(), "{}", thaw::to_text(results));
  }
};

#if THAW_DEFINES(report)

namespace thaw {

THAW_INLINE ClassResults class_results(Learner& learner, const DataSource& source, ConfusionMatrixOptions options,
                                       const TopLosses& which) {
  detail::check_order("class_results", source, options.classes);
  ClassResults results{.matrix = ConfusionMatrix(std::move(options))};
  const auto loss = [&](const Fields& output, const Fields& target) { return learner.criterion(output, target); };
  const auto add = [&](const Fields& output, const Batch& batch) {
    results.matrix.add(output, batch.target);
    detail::add_batch(results.losses, output, batch.target, batch.size(), loss);
  };
  detail::see_all("class_results", detail::Samples::told_apart, learner, source, add);
  results.losses = detail::select(std::move(results.losses), which);
  return results;
}

}  // namespace thaw

namespace thaw::detail {

THAW_INLINE Table worst_confusions(const ConfusionMatrix& matrix) {
  Table table = most_confused_table(matrix);
  table.rows.resize(std::min<std::size_t>(table.rows.size(), 10));
  return table;
}

}  // namespace thaw::detail

namespace thaw {

THAW_INLINE std::string to_text(const ClassResults& results) {
  return fmt::format("{}\n{}\n{}", to_text(results.matrix), to_text(detail::worst_confusions(results.matrix)),
                     to_text(ClassReport(results.matrix)));
}

THAW_INLINE void add_to(HtmlPart& page, const ClassResults& results) {
  const ConfusionMatrix& matrix = results.matrix;
  page.paragraph(fmt::format("right: {:.1f} % of {}", 100 * matrix.accuracy(), matrix.samples()));
  page.svg(to_svg(matrix));
  if (const Table mistakes = detail::worst_confusions(matrix); !mistakes.rows.empty()) page.table(mistakes);
  page.table(class_table(ClassReport(matrix)));
}

}  // namespace thaw

#endif
