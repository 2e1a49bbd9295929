// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <thaw/core/compiled.hpp>
#include <thaw/core/error.hpp>
#include <thaw/train/learner.hpp>

namespace thaw {

namespace detail {

/// Cells joined by commas; a cell with a comma, a quote or a line break is quoted (RFC 4180).
[[nodiscard]] std::string csv_row(const std::vector<std::string>& cells);

}  // namespace detail

/// A callback that adds a row to a file of comma-separated values as each epoch ends, so that what was trained before a
/// crash is there. Columns: stage, epoch, train_loss, valid_loss, each metric, seconds, peak_memory (in bytes, where it
/// is known), and the last step's rate of each layer group ("lr <group>"). Numbers keep all their digits; what an epoch
/// lacks is empty.
///
///     learner.fit(stage, thaw::CsvLog{"run.csv"});
///
/// Throws FileError before the first step when the file cannot be written, and at the first epoch's end when a file to
/// append to has other columns.
struct CsvLog {
  static constexpr bool first_process_only = true;

  std::filesystem::path path = "run.csv";
  bool append = false;  ///< go on with a file that is there; otherwise the first stage starts it anew

  void on_stage_begin(const StageBegin& event);
  void on_epoch_end(const EpochEnd& event);
  /// A resumed run first cuts off what was written after its checkpoint; a file that lacks rows is written anew.
  void on_run_state(const RunStateVisit& event);

  bool started_ = false;                   // run state: the file is ours,
  std::vector<std::string> columns_ = {};  // and has this header
  std::int64_t first_ = 0;                 // the first epoch of the history that is in it
  std::optional<std::int64_t> cut_ = {};   // how many of its bytes a resumed run goes on with,
  std::int64_t last_ = 0;                  // and the end of its epochs

 private:
  /// 0 for a file that is not there.
  [[nodiscard]] std::int64_t bytes() const;
  void cut(const Learner& learner);
  void add(const Learner& learner, const EpochRecord& epoch);
  [[nodiscard]] std::ofstream open(std::ios::openmode mode) const;
  void write(const std::string& row) const;
  void head(const std::string& header) const;
};

}  // namespace thaw

#if THAW_DEFINES(report)

namespace thaw::detail {

THAW_INLINE std::string csv_row(const std::vector<std::string>& cells) {
  std::string row;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    if (i > 0) row += ',';
    if (cells[i].find_first_of(",\"\r\n") == std::string::npos) {
      row += cells[i];
      continue;
    }
    row += '"';
    for (const char c : cells[i]) row.append(c == '"' ? "\"" : "") += c;
    row += '"';
  }
  return row;
}

}  // namespace thaw::detail

namespace thaw {

THAW_INLINE void CsvLog::on_stage_begin(const StageBegin& event) {
  cut(event.learner);
  if (std::exchange(started_, true)) return;
  first_ = std::ssize(event.learner.history().epochs);
  (void)open(append ? std::ios::app : std::ios::trunc);
}

THAW_INLINE void CsvLog::on_epoch_end(const EpochEnd& event) {
  cut(event.learner);
  add(event.learner, event.record);
}

THAW_INLINE void CsvLog::on_run_state(const RunStateVisit& event) {
  event.state("started", started_);
  event.state("columns", columns_);
  event.state("first", first_);
  std::int64_t size = started_ ? cut_.value_or(bytes()) : 0;
  event.state("size", size);
  if (event.state.reading() && started_) cut_ = size, last_ = std::ssize(event.learner.history().epochs);
}

THAW_INLINE std::int64_t CsvLog::bytes() const {
  std::error_code none;
  const auto size = std::filesystem::file_size(path, none);
  return none ? 0 : static_cast<std::int64_t>(size);
}

THAW_INLINE void CsvLog::cut(const Learner& learner) {
  const std::optional<std::int64_t> asked = std::exchange(cut_, std::nullopt);
  if (!asked) return;
  const std::int64_t size = *asked;
  std::error_code failed;
  if (bytes() >= size) {
    std::filesystem::resize_file(path, static_cast<std::uintmax_t>(size), failed);
    if (failed)
      throw FileError(path.string(), "cannot be cut: " + failed.message(), "name a file that may be written to");
    return;
  }
  (void)open(std::ios::trunc);
  columns_.clear();
  for (std::int64_t i = first_; i < last_; ++i) add(learner, learner.history().epochs.at(static_cast<std::size_t>(i)));
}

THAW_INLINE void CsvLog::add(const Learner& learner, const EpochRecord& epoch) {
  std::vector<std::string> names{"stage", "epoch", "train_loss", "valid_loss"};
  std::vector<std::string> cells{epoch.stage, std::to_string(epoch.epoch), fmt::format("{}", epoch.train_loss),
                                 epoch.valid ? fmt::format("{}", epoch.valid->loss) : ""};
  const auto cell = [&](std::string name, double value) {
    names.push_back(std::move(name));
    cells.push_back(fmt::format("{}", value));
  };
  if (epoch.valid) {
    for (const MetricValue& metric : epoch.valid->metrics) cell(metric.name, metric.value);
  } else {
    for (const Metric& metric : learner.metrics()) names.push_back(metric.name), cells.emplace_back();
  }
  cell("seconds", epoch.seconds);
  if (epoch.peak_memory > 0) names.emplace_back("peak_memory"), cells.push_back(std::to_string(epoch.peak_memory));
  const std::vector<std::string>& groups = learner.history().groups;
  for (std::size_t i = 0; i < groups.size(); ++i) cell("lr " + groups[i], epoch.lr.empty() ? 0 : epoch.lr[i]);

  if (columns_.empty()) head(detail::csv_row(columns_ = names));
  std::vector<std::string> row(columns_.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto column = std::ranges::find(columns_, names[i]);
    if (column == columns_.end())
      throw FileError(path.string(), "has no column \"" + names[i] + "\"",
                      "log stages with other metrics in a file of their own");
    row[static_cast<std::size_t>(column - columns_.begin())] = cells[i];
  }
  write(detail::csv_row(row));
}

THAW_INLINE std::ofstream CsvLog::open(std::ios::openmode mode) const {
  std::ofstream file(path, mode);
  if (!file)
    throw FileError(path.string(), "cannot be written", "name a file in a folder that exists and may be written to");
  return file;
}

THAW_INLINE void CsvLog::write(const std::string& row) const {
  std::ofstream file = open(std::ios::app);
  if (!(file << row << '\n' << std::flush))
    throw FileError(path.string(), "a row could not be written", "make room on its disk");
}

THAW_INLINE void CsvLog::head(const std::string& header) const {
  std::string first;
  std::getline(std::ifstream(path) >> std::ws, first);
  if (first.empty())
    write(header);
  else if (first != header)
    throw FileError(path.string(), "has other columns: " + first, "append to a log of the same kind of run");
}

}  // namespace thaw

#endif
