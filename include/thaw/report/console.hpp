// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <numeric>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <thaw/core/compiled.hpp>
#include <thaw/report/terminal.hpp>
#include <thaw/train/learner.hpp>

namespace thaw {

struct ConsoleOptions {
  std::FILE* out = stdout;
  bool progress = true;  ///< a progress line within epochs, where `out` is a terminal
  bool quiet = false;    ///< nothing but one line per stage, as it ends
};

/// A callback that prints training as it goes: what each stage trains, and which rule of the LR finder its rate is by;
/// then a row per epoch, marked where it is the best so far; and on a terminal a progress line with the time left for
/// the whole plan, drawn at most ten times a second; there no line is wider than the window. Losses are read from their
/// device only to be shown there. What is no terminal gets lines of plain text, as wide as they are.
///
///     learner.fit(stage, thaw::Console{});
///     learner.fit(stage, thaw::Console{{.out = stderr, .progress = false}});
///     learner.fit(stage, thaw::Console{{.quiet = true}});
class Console {
 public:
  static constexpr bool first_process_only = true;

  explicit Console(ConsoleOptions options = {}) : Console(Terminal::of(options.out), options.quiet) {
    terminal_.interactive = terminal_.interactive && options.progress;
  }
  /// Writes to anything: a log, a string, a window.
  explicit Console(Terminal terminal, bool quiet = false) : terminal_(std::move(terminal)), quiet_(quiet) {}

  void on_fit_begin(const FitBegin& event);
  void on_stage_begin(const StageBegin& event);
  void on_run_state(const RunStateVisit& event);
  void on_step_end(const StepEnd& event);
  void on_epoch_end(const EpochEnd& event);
  void on_stage_end(const StageEnd& event);

 private:
  void erase() {
    if (std::exchange(drawn_, false)) terminal_.write("\r\x1b[K");
  }
  /// How wide a line may be.
  [[nodiscard]] std::size_t columns() const {
    return terminal_.interactive ? std::max<std::size_t>(terminal_.columns(), 2) : std::string::npos;
  }
  void write_line(std::string_view text, std::string_view code = {});
  [[nodiscard]] std::string styled(std::string_view code, std::string_view text) const;

  Terminal terminal_;
  bool quiet_;
  std::vector<std::int64_t> to_come_ = {};  // steps of the plan's stages that have not begun
  std::vector<std::string> metrics_;        // the epoch table's columns
  bool headed_ = false;               // the epoch table has its header
  bool drawn_ = false;                // a progress line is on the screen
  double drawn_at_ = 0, stage_began_ = 0, epoch_began_ = 0;
  std::int64_t steps_before_ = 0;  // steps of the stage that an earlier process did
  std::int64_t steps_before_epoch_ = 0, steps_ = 0;
};

}  // namespace thaw

#if THAW_DEFINES(report)
#include <fmt/format.h>

#include <thaw/report/detail/numbers.hpp>
#include <thaw/report/detail/progress_line.hpp>
#include <thaw/report/detail/run_answer.hpp>
#include <thaw/report/detail/stage_text.hpp>
#include <thaw/report/detail/utf8.hpp>
#include <thaw/report/table.hpp>

namespace thaw {

THAW_INLINE void Console::on_stage_end(const StageEnd& event) {
  if (quiet_) return terminal_.write(detail::stage_line(event) + "\n");
  erase();
  terminal_.write(event.stop.empty() ? "\n" : styled("1", "stopped: " + detail::shortened(event.stop, 200)) + "\n\n");
}

THAW_INLINE std::string Console::styled(std::string_view code, std::string_view text) const {
  return terminal_.color ? fmt::format("\x1b[{}m{}\x1b[0m", code, text) : std::string(text);
}

THAW_INLINE void Console::write_line(std::string_view text, std::string_view code) {
  const std::string line = detail::shortened(text, std::min(columns(), text.size()));
  terminal_.write((code.empty() ? line : styled(code, line)) + "\n");
}

}  // namespace thaw

namespace thaw::detail {

/// A row of cells aligned right under `headers`, each at least as wide as any measured number.
[[nodiscard]] inline std::string epoch_row(const std::vector<std::string>& headers,
                                           const std::vector<std::string>& cells) {
  std::string line = " ";
  for (std::size_t i = 0; i < headers.size(); ++i) {
    const std::size_t least = i == 0 || i + 1 == headers.size() ? 7 : 10;
    line.append(i == 0 ? "" : "  ")
        .append(aligned(cells[i], std::max(least, display_width(headers[i])), /*right=*/true));
  }
  return line;
}

/// What stands above the columns; metrics by shorter names where the row would be wider than `columns`.
[[nodiscard]] inline std::vector<std::string> epoch_headers(const std::vector<std::string>& metrics, bool memory,
                                                            std::size_t columns) {
  std::vector<std::string> headers{"epoch", "train loss", "valid loss"};
  headers.insert(headers.end(), metrics.begin(), metrics.end());
  if (memory) headers.emplace_back("memory");
  headers.emplace_back("time");
  if (display_width(epoch_row(headers, headers)) > columns)
    for (std::size_t i = 3; i < 3 + metrics.size(); ++i) headers[i] = shortened(headers[i], 10);
  return headers;
}

}  // namespace thaw::detail

namespace thaw {

THAW_INLINE void Console::on_fit_begin(const FitBegin& event) {
  to_come_.clear();
  for (const StageDescription& stage : event.plan) to_come_.push_back(stage.steps());
}

THAW_INLINE void Console::on_stage_begin(const StageBegin& event) {
  if (!to_come_.empty()) to_come_.erase(to_come_.begin());
  if (quiet_) return;
  metrics_.clear();
  headed_ = false;
  stage_began_ = epoch_began_ = terminal_.seconds();
  drawn_at_ = -std::numeric_limits<double>::infinity();
  steps_ = steps_before_epoch_ = steps_before_ = 0;
  write_line(detail::stage_title(event), "1");
  const std::string table = detail::group_text(event.groups, columns());
  for (std::string_view rest = table; !rest.empty(); rest.remove_prefix(rest.find('\n') + 1))
    write_line(rest.substr(0, rest.find('\n')));
  std::vector<double> lr;
  lr.reserve(event.groups.size());
  for (const GroupPlan& group : event.groups) lr.push_back(group.lr);
  const std::string rule = detail::finder_rule(event.learner.lr_curves(), event.learner.history().steps_done, lr);
  if (!rule.empty()) write_line("  rate: the LR finder's " + rule);
  if (const auto& stages = event.learner.history().stages; !stages.empty())
    for (const std::string& why : stages.back().notes) write_line("  " + why.substr(0, why.find('\n')));
  terminal_.write("\n");
}

/// The stage began in another process.
THAW_INLINE void Console::on_run_state(const RunStateVisit& event) {
  if (!event.state.reading() || event.state.has("to come")) event.state("to come", to_come_);
  if (quiet_) return;
  const std::vector<StageRecord>& stages = event.learner.history().stages;
  if (!event.state.reading() || stages.empty()) return;
  stage_began_ = epoch_began_ = terminal_.seconds();
  drawn_at_ = -std::numeric_limits<double>::infinity();
  steps_ = steps_before_epoch_ = steps_before_ = stages.back().steps;
  write_line(fmt::format("resumed after step {} of stage {}", steps_, detail::shortened(stages.back().name, 60)), "1");
}

THAW_INLINE void Console::on_step_end(const StepEnd& event) {
  steps_ = event.step;
  if (quiet_ || !terminal_.interactive) return;
  const double now = terminal_.seconds();
  if (now - drawn_at_ < 0.1) return;
  drawn_at_ = now;
  drawn_ = true;
  const auto done = static_cast<double>(event.step - steps_before_),
             left = static_cast<double>(std::accumulate(to_come_.begin(), to_come_.end(), event.steps - event.step));
  const double in_epoch = now - epoch_began_;
  const detail::ProgressState state{
      .epoch = event.epoch,
      .epochs = event.epochs,
      .step = event.step,
      .steps = event.steps,
      .loss = event.loss.item<double>(),
      .lr = event.lr.empty() ? 0 : event.lr.back(),
      .steps_per_second = in_epoch > 0 ? static_cast<double>(event.step - steps_before_epoch_) / in_epoch : 0,
      .seconds_left = (now - stage_began_) / done * left};
  const std::string line =
      detail::progress_line(state, columns() - 1, terminal_.unicode);  // the last column may wrap it
  terminal_.write("\r" + line + "\x1b[K");
}

THAW_INLINE void Console::on_epoch_end(const EpochEnd& event) {
  if (quiet_) return;
  erase();
  const EpochRecord& epoch = event.record;
  std::vector<std::string> metrics;
  if (epoch.valid)
    for (const MetricValue& metric : epoch.valid->metrics) metrics.push_back(detail::shortened(metric.name, 24));
  const bool new_columns = epoch.valid && metrics != metrics_;
  if (new_columns) metrics_ = std::move(metrics);

  const std::vector<std::string> headers = detail::epoch_headers(metrics_, epoch.peak_memory > 0, columns());
  std::vector<std::string> cells{fmt::format("{}/{}", epoch.epoch, epoch.epochs), detail::measured(epoch.train_loss)};
  cells.push_back(epoch.valid ? detail::measured(epoch.valid->loss) : "-");
  for (std::size_t i = 0; i < metrics_.size(); ++i)
    cells.push_back(epoch.valid ? detail::measured(epoch.valid->metrics[i].value) : "-");
  if (epoch.peak_memory > 0) cells.push_back(detail::memory_size(epoch.peak_memory));
  cells.push_back(detail::duration(epoch.seconds));

  if (!std::exchange(headed_, true) || new_columns) write_line(detail::epoch_row(headers, headers), "2");
  const std::vector<EpochRecord>& epochs = event.learner.history().epochs;
  const Monitor judge = detail::judged_by(event.learner, epochs);
  const EpochRecord* best = detail::best_epoch(epochs, judge);
  const bool is_best = epoch.valid && best != nullptr && best + 1 == epochs.data() + epochs.size();
  write_line(detail::epoch_row(headers, cells) + (is_best ? "  best" : ""));
  epoch_began_ = terminal_.seconds();
  steps_before_epoch_ = steps_;
}

}  // namespace thaw

#endif
