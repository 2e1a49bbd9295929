// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/bincount.h>
#include <ATen/ops/zeros.h>
#include <c10/util/StringUtil.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <thaw/core/compiled.hpp>
#include <thaw/core/error.hpp>
#include <thaw/report/detail/classes.hpp>
#include <thaw/report/table.hpp>
#include <thaw/train/learner.hpp>

namespace thaw {

struct ConfusionMatrixOptions {
  std::vector<std::string> classes = {};          ///< their names; numbers if empty
  std::optional<std::int64_t> ignore_index = {};  ///< a target that does not count
};

/// A pair of classes, and how often the one was taken for the other.
struct Confusion {
  std::string actual = {}, predicted = {};
  std::int64_t count = 0;
};

/// How often each class was taken for which. Source: fastai's and scikit-learn's confusion_matrix: a row for each
/// actual class, a column for each predicted one.
///
///     const thaw::ConfusionMatrix matrix(learner, valid, {.classes = {"cat", "dog"}});
///     fmt::print("{}{}", matrix, thaw::ClassReport(matrix));
class ConfusionMatrix {
 public:
  explicit ConfusionMatrix(ConfusionMatrixOptions options = {}) : options_(std::move(options)) {
    if (!options_.classes.empty()) resize(std::ssize(options_.classes));
  }
  /// Of these outputs and targets: see `add`.
  ConfusionMatrix(const at::Tensor& output, const at::Tensor& target, ConfusionMatrixOptions options = {});
  /// Of what a model says of a source: every sample once, but for those that a loader leaves out in each pass. Leaves
  /// the module in evaluation mode. Throws DataError for an empty source, ConfigError for the source's own classes in
  /// another order, and as `add`.
  ConfusionMatrix(Learner& learner, const DataSource& source, ConfusionMatrixOptions options = {});

  /// Counts a batch. `output` is [N, classes, ...], whose largest entry along dimension 1 is the prediction, or [N, 1,
  /// ...], a logit of class 1 of two, or [N, ...] integers, the predicted classes themselves; `target` is [N, ...] or
  /// [N, 1, ...]. Waits for a device. Throws DataError for other shapes and classes out of range, ConfigError where
  /// there are not as many names as classes; and then counts nothing of it.
  void add(const at::Tensor& output, const at::Tensor& target);

  /// How many classes.
  [[nodiscard]] std::int64_t size() const { return counts_.defined() ? counts_.size(0) : 0; }
  [[nodiscard]] const std::vector<std::string>& classes() const { return names_; }
  /// [classes, classes] int64: a row for each actual class.
  [[nodiscard]] const at::Tensor& counts() const { return counts_; }
  [[nodiscard]] std::int64_t count(std::int64_t actual, std::int64_t predicted) const {
    return counts_.const_data_ptr<std::int64_t>()[actual * size() + predicted];
  }
  /// All that was counted.
  [[nodiscard]] std::int64_t samples() const { return size() == 0 ? 0 : counts_.sum().item<std::int64_t>(); }
  /// The share that was predicted right; NaN where nothing was counted.
  [[nodiscard]] double accuracy() const;

  /// The mistakes that were made at least so often (never fewer than once), the most frequent first, equally frequent
  /// ones in the order of rows and columns. Source: fastai's most_confused.
  [[nodiscard]] std::vector<Confusion> most_confused(std::int64_t min_val = 1) const;

 private:
  /// One more than the highest class.
  static std::int64_t above(const at::Tensor& predicted, const at::Tensor& actual);

  /// How many classes such outputs tell of.
  [[nodiscard]] std::int64_t check(const at::Tensor& predicted, const at::Tensor& actual,
                                   const at::Tensor& output) const;

  void resize(std::int64_t classes);

  ConfusionMatrixOptions options_;
  std::vector<std::string> names_;
  at::Tensor counts_;
};

/// A row for each actual class, a column for each predicted one; "." for 0.
[[nodiscard]] Table confusion_table(const ConfusionMatrix& matrix);

/// The mistakes, most frequent first.
[[nodiscard]] Table most_confused_table(const ConfusionMatrix& matrix, std::int64_t min_val = 1);

/// The matrix as text; of more classes than `most_classes` its most frequent mistakes, as many as that. Ends with a
/// line break.
[[nodiscard]] std::string to_text(const ConfusionMatrix& matrix, std::int64_t most_classes = 20);

}  // namespace thaw

/// `fmt::print("{}", matrix)` prints what `to_text(matrix)` gives.
template <>
struct fmt::formatter<thaw::ConfusionMatrix> {
  constexpr auto parse(format_parse_context& context) { return context.begin(); }
  template <class Context>
  auto format(const thaw::ConfusionMatrix& matrix, Context& context) const {
    return fmt::format_to(context.out(), "{}", thaw::to_text(matrix));
  }
};

#if THAW_DEFINES(report)

namespace thaw {

THAW_INLINE ConfusionMatrix::ConfusionMatrix(const at::Tensor& output, const at::Tensor& target,
                                             ConfusionMatrixOptions options)
    : ConfusionMatrix(std::move(options)) {
  add(output, target);
}

THAW_INLINE ConfusionMatrix::ConfusionMatrix(Learner& learner, const DataSource& source, ConfusionMatrixOptions options)
    : ConfusionMatrix(std::move(options)) {
  detail::check_order("ConfusionMatrix", source, options_.classes);
  detail::see_all("ConfusionMatrix", detail::Samples::counted, learner, source,
                  [&](const Fields& output, const Batch& batch) { add(output, batch.target); });
}

THAW_INLINE void ConfusionMatrix::add(const at::Tensor& output, const at::Tensor& target) {
  const at::Tensor predicted = detail::predicted_classes(output).cpu();
  at::Tensor actual = target.detach().cpu().to(at::kLong);
  if (actual.dim() == predicted.dim() + 1 && actual.size(1) == 1) actual = actual.squeeze(1);
  if (actual.sizes() != predicted.sizes())
    throw DataError("ConfusionMatrix", c10::str(predicted.sizes(), " predictions, but ", actual.sizes(), " targets"),
                    "give one target for each prediction");
  at::Tensor p = predicted.flatten(), a = actual.flatten();
  if (options_.ignore_index) {
    const at::Tensor counts = a.ne(*options_.ignore_index);
    p = p.masked_select(counts), a = a.masked_select(counts);
  }
  if (const std::int64_t classes = check(p, a, output); classes > size()) resize(classes);
  if (a.numel() > 0) counts_ += at::bincount(a * size() + p, {}, size() * size()).reshape({size(), size()});
}

THAW_INLINE double ConfusionMatrix::accuracy() const {
  const std::int64_t right = size() == 0 ? 0 : counts_.trace().item<std::int64_t>();
  return static_cast<double>(right) / static_cast<double>(samples());
}

THAW_INLINE std::vector<Confusion> ConfusionMatrix::most_confused(std::int64_t min_val) const {
  std::vector<Confusion> all;
  for (std::int64_t i = 0; i < size(); ++i)
    for (std::int64_t j = 0; j < size(); ++j)
      if (i != j && count(i, j) >= std::max<std::int64_t>(1, min_val))
        all.push_back({names_[static_cast<std::size_t>(i)], names_[static_cast<std::size_t>(j)], count(i, j)});
  std::ranges::stable_sort(all, std::ranges::greater{}, &Confusion::count);
  return all;
}

THAW_INLINE std::int64_t ConfusionMatrix::above(const at::Tensor& predicted, const at::Tensor& actual) {
  if (actual.numel() == 0) return 0;
  return 1 + std::max(predicted.max().item<std::int64_t>(), actual.max().item<std::int64_t>());
}

THAW_INLINE std::int64_t ConfusionMatrix::check(const at::Tensor& predicted, const at::Tensor& actual,
                                                const at::Tensor& output) const {
  const bool scores = output.is_floating_point();
  const std::int64_t classes = scores ? std::max<std::int64_t>(2, output.size(1)) : above(predicted, actual);
  if (scores && size() > 0 && classes != size())
    throw ConfigError("ConfusionMatrix", fmt::format("{} classes, but the model's output has {}", size(), classes),
                      "name each class that the model tells apart, in their order");
  const std::int64_t most = options_.classes.empty() ? classes : size();
  if (actual.numel() == 0) return classes;
  const auto lowest = std::min(predicted.min().item<std::int64_t>(), actual.min().item<std::int64_t>());
  if (const std::int64_t highest = above(predicted, actual) - 1; lowest < 0 || highest >= most)
    throw DataError("ConfusionMatrix",
                    fmt::format("there is a class {}, of {} classes", lowest < 0 ? lowest : highest, most),
                    "number classes from 0, or set ignore_index");
  return classes;
}

THAW_INLINE void ConfusionMatrix::resize(std::int64_t classes) {
  at::Tensor counts = at::zeros({classes, classes}, at::kLong);
  if (size() > 0) counts.slice(0, 0, size()).slice(1, 0, size()).copy_(counts_);
  counts_ = counts;
  names_ = options_.classes;
  for (std::int64_t i = std::ssize(names_); i < classes; ++i) names_.push_back(std::to_string(i));
}

THAW_INLINE Table confusion_table(const ConfusionMatrix& matrix) {
  Table table{.headers = {"actual \\ predicted"}};
  table.headers.insert(table.headers.end(), matrix.classes().begin(), matrix.classes().end());
  for (std::int64_t i = 0; i < matrix.size(); ++i) {
    std::vector<std::string> row{matrix.classes()[static_cast<std::size_t>(i)]};
    for (std::int64_t j = 0; j < matrix.size(); ++j)
      row.push_back(matrix.count(i, j) == 0 ? "." : std::to_string(matrix.count(i, j)));
    table.rows.push_back(std::move(row));
  }
  return table;
}

THAW_INLINE Table most_confused_table(const ConfusionMatrix& matrix, std::int64_t min_val) {
  Table table{.headers = {"actual", "predicted", "times"}};
  for (const Confusion& each : matrix.most_confused(min_val)) table.add(each.actual, each.predicted, each.count);
  return table;
}

THAW_INLINE std::string to_text(const ConfusionMatrix& matrix, std::int64_t most_classes) {
  if (matrix.samples() == 0) return "confusion matrix: nothing was counted\n";
  Table table = matrix.size() <= most_classes ? confusion_table(matrix) : most_confused_table(matrix);
  if (std::ssize(table.rows) > most_classes) table.rows.resize(static_cast<std::size_t>(most_classes));
  return to_text(table) + fmt::format("right: {:.1f} % of {}\n", 100 * matrix.accuracy(), matrix.samples());
}

}  // namespace thaw

#endif
