// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/Parallel.h>
#include <c10/util/Exception.h>
#include <torch/version.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <exception>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <thaw/core/compiled.hpp>
#include <thaw/core/random_state.hpp>
#include <thaw/core/version.hpp>
#include <thaw/find/snapshot.hpp>
#include <thaw/report/detail/numbers.hpp>
#include <thaw/report/detail/run_answer.hpp>
#include <thaw/report/detail/run_series.hpp>
#include <thaw/report/groups_table.hpp>
#include <thaw/report/html.hpp>
#include <thaw/report/lr_plot.hpp>
#include <thaw/report/plan_plot.hpp>
#include <thaw/report/plan_table.hpp>
#include <thaw/report/run_plot.hpp>
#include <thaw/report/schedule_plot.hpp>
#include <thaw/report/table.hpp>
#include <thaw/train/learner.hpp>
#include <thaw/train/monitor.hpp>

namespace thaw {

namespace detail {

/// "2026-11-25 19:12:04 UTC".
[[nodiscard]] std::string time_text(std::time_t time);

/// One row per epoch, oldest first; the best one is marked.
[[nodiscard]] Table epochs_table(const History& history, const EpochRecord* best = nullptr);

/// A plan as a figure, a table and its notes; its schedules to unfold.
[[nodiscard]] std::string plan_html(const std::vector<StageDescription>& plan);

/// What the run stands on.
[[nodiscard]] Table environment_table(const Learner& learner);

}  // namespace detail

/// A callback that keeps a page about the run: how far it is, how good it got, in which epoch, and by which choices;
/// losses, metrics, rates and momentum as curves, results of your own, a row per epoch, the LR finder's curves, the
/// plan of each fit (what trains when, and how fast) as a figure and as a table, the layer groups as they are, and what
/// the run stands on. The page needs no network and no script, is rewritten as each epoch ends and every few seconds
/// within one, and can be open in a browser meanwhile: it reads itself anew until the run has ended.
///
///     learner.fit(plan, thaw::HtmlReport{"run.html"});
///     thaw::HtmlReport report{"run.html"};
///     report.results = [&](thaw::Learner& learner, thaw::HtmlPart& page) {
///       thaw::add_to(page, thaw::class_results(learner, valid, {.classes = names}));
///     };
///     learner.fit(plan, report);
///
/// In LearnerOptions::callbacks it is about all fits. Throws FileError before the first step where the file cannot be
/// written; what cannot be written later (a full disk), or results that cannot be had, are a warning, and the run
/// goes on.
struct HtmlReport {
  static constexpr bool first_process_only = true;

  std::filesystem::path path = "run.html";
  std::string title = "Training run";
  int seconds = 10;  ///< between two pages within an epoch; at least 1
  /// Writes what else the page is to show: tables, pictures. Called as each epoch ends, or each stage; the last results
  /// stand on the page. It may let the model predict, and draw random numbers: training and evaluation mode and the
  /// generators are put back.
  std::function<void(Learner&, HtmlPart&)> results = {};
  bool results_per_stage = false;  ///< only as a stage ends
  /// What the run is judged by; none: its first metric, or else the validation loss, or the training loss.
  std::optional<Monitor> monitor = {};

  void on_stage_planned(const StagePlanned& event);
  void on_fit_begin(const FitBegin& event) { plans_.push_back(detail::plan_html(event.plan)); }
  void on_stage_begin(const StageBegin& event);
  void on_step_end(const StepEnd& event);
  void on_epoch_end(const EpochEnd& event);
  void on_stage_end(const StageEnd& event);
  void on_fit_end(const FitEnd& event) {
    if (written_ != decltype(written_){}) rewrite(event.learner, /*runs=*/false);  // else it could not be
  }
  void on_run_state(const RunStateVisit& event);

  // run state
  std::vector<std::string> plans_ = {};  // of each fit, as HTML
  std::string state_ = {};
  std::string taken_ = {};  // the last results, as HTML
  std::chrono::steady_clock::time_point written_ = {};
  bool warned_ = false;

 private:
  /// The first failure is a warning; none stops the run.
  template <class Work>
  void attempt(Work work) {
    try {
      work();
    } catch (const std::exception& error) {
      if (!std::exchange(warned_, true)) {
        TORCH_WARN("thaw: HtmlReport: ", error.what());
      }
    }
  }

  void rewrite(Learner& learner, bool runs) {
    attempt([&] { write(learner, runs); });
  }

  void take_results(Learner& learner, const std::string& after);

  void write(Learner& learner, bool runs);
};

}  // namespace thaw

#if THAW_DEFINES(report)

namespace thaw::detail {

THAW_INLINE std::string time_text(std::time_t time) {
  std::tm parts{};
  ::gmtime_r(&time, &parts);
  std::array<char, 32> text{};
  const std::size_t size = std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S UTC", &parts);
  return {text.data(), size};
}

THAW_INLINE Table epochs_table(const History& history, const EpochRecord* best) {
  Table table{.headers = {"stage", "epoch", "train loss", "valid loss"}};
  const std::vector<std::string> names = metric_names(history);
  const std::size_t first = table.headers.size();
  table.headers.insert(table.headers.end(), names.begin(), names.end());
  const bool memory_known =
      std::ranges::any_of(history.epochs, [](const auto& epoch) { return epoch.peak_memory > 0; });
  if (memory_known) table.headers.emplace_back("memory");
  table.headers.emplace_back("time");
  for (const EpochRecord& epoch : history.epochs) {
    std::vector<std::string> row(table.headers.size());
    row[0] = epoch.stage;
    row[1] = fmt::format("{} of {}{}", epoch.epoch, epoch.epochs, &epoch == best ? ", best" : "");
    row[2] = measured(epoch.train_loss);
    if (epoch.valid) row[3] = measured(epoch.valid->loss);
    for (const MetricValue& metric : epoch.valid.value_or(Evaluation{}).metrics) {
      const auto column = static_cast<std::size_t>(std::ranges::find(names, metric.name) - names.begin());
      row[first + column] = measured(metric.value);
    }
    if (memory_known && epoch.peak_memory > 0) row[row.size() - 2] = memory_size(epoch.peak_memory);
    row.back() = duration(epoch.seconds);
    table.rows.push_back(std::move(row));
  }
  return table;
}

THAW_INLINE std::string plan_html(const std::vector<StageDescription>& plan) {
  SvgWriter html;
  html.append(scrolling(to_svg(plan)));
  html.append(to_html(plan_table(plan)));
  SchedulePlot schedules;
  for (const StageDescription& stage : plan) {
    for (const std::string& note : stage.notes) html.text("p", {}, fmt::format("note, stage {}: {}", stage.name, note));
    schedules.schedules.push_back(
        {.name = stage.name, .schedule = stage.schedule, .steps = stage.steps(), .epochs = stage.epochs});
  }
  html.open("details", {});
  html.text("summary", {}, "Schedules");
  html.append(scrolling(to_svg(schedules)));
  html.close("details");
  return std::move(html).take();
}

THAW_INLINE Table environment_table(const Learner& learner) {
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0) host[0] = '?';
  const char* layout = learner.layout() == Layout::channels_last ? "channels last"
                       : learner.layout() == Layout::contiguous  ? "contiguous"
                                                                 : "automatic";
  Table table{.headers = {"", ""}};
  table.add("thaw", version);
  table.add("LibTorch", TORCH_VERSION);
  table.add("compiler", __VERSION__);
  table.add("device", learner.device().str());
  table.add("threads", at::get_num_threads());
  table.add("layout of images", layout);
  table.add("run", learner.run_id());
  table.add("host, process", fmt::format("{}, {}", host.data(), ::getpid()));
  return table;
}

}  // namespace thaw::detail

namespace thaw {

THAW_INLINE void HtmlReport::on_stage_planned(const StagePlanned& event) {
  if (monitor) monitor->settle(event.learner, "HtmlReport");
  if (seconds < 1)
    throw ConfigError("HtmlReport", fmt::format("seconds is {}", seconds), "write it every second or less often");
}

THAW_INLINE void HtmlReport::on_stage_begin(const StageBegin& event) {
  state_ = fmt::format("stage {} begins", event.stage);
  write(event.learner, /*runs=*/true);
}

THAW_INLINE void HtmlReport::on_step_end(const StepEnd& event) {
  if (std::chrono::steady_clock::now() - written_ < std::chrono::seconds(seconds)) return;
  state_ = fmt::format("stage {}, epoch {} of {}, step {} of {}", event.stage, event.epoch, event.epochs, event.step,
                       event.steps);
  rewrite(event.learner, /*runs=*/true);
}

THAW_INLINE void HtmlReport::on_epoch_end(const EpochEnd& event) {
  state_ = fmt::format("stage {}, epoch {} of {} done", event.record.stage, event.record.epoch, event.record.epochs);
  if (!results_per_stage)
    take_results(event.learner, fmt::format("after epoch {} of {} of stage {}", event.record.epoch, event.record.epochs,
                                            event.record.stage));
  rewrite(event.learner, /*runs=*/true);
}

THAW_INLINE void HtmlReport::on_stage_end(const StageEnd& event) {
  state_ = fmt::format("stage {} has ended{}{}", event.record.name, event.stop.empty() ? "" : ": ", event.stop);
  if (results_per_stage) take_results(event.learner, "after stage " + event.record.name);
}

THAW_INLINE void HtmlReport::on_run_state(const RunStateVisit& event) {
  event.state("plans", plans_);
  event.state("state", state_);
  event.state("results", taken_);
}

THAW_INLINE void HtmlReport::take_results(Learner& learner, const std::string& after) {
  if (!results) return;
  attempt([&] {
    const RandomState random;
    const TrainingFlags flags{*learner.groups().module()};
    HtmlPart part;
    part.paragraph(after);
    results(learner, part);
    taken_ = part.body();
  });
}

THAW_INLINE void HtmlReport::write(Learner& learner, bool runs) {
  const History& history = learner.history();
  HtmlPage page(title, runs ? seconds : 0);
  page.paragraph(fmt::format("{} ({})", state_, detail::time_text(std::time(nullptr))));
  const Monitor judge = monitor ? *monitor : detail::judged_by(learner, history.epochs);
  if (const std::string answer = detail::answer(history, judge); !answer.empty()) {
    page.append("<p class=\"answer\">" + detail::xml_escaped(answer) + "</p>\n");
    page.table(detail::stages_table(learner, judge));
  }
  for (const StageRecord& stage : history.stages)
    for (const std::string& note : stage.notes) page.paragraph("stage " + stage.name + ": " + note);
  page.heading("Curves");
  page.figure(to_figure(history));
  if (!taken_.empty()) page.heading("Results");
  page.append(taken_);
  if (!history.epochs.empty()) {
    page.heading("Epochs");
    page.table(detail::epochs_table(history, detail::best_epoch(history.epochs, judge)));
  }
  if (!learner.lr_curves().empty()) page.heading("Learning rate finder");
  std::string before;
  for (const LRCurve& curve : learner.lr_curves()) {
    const LRPlot known{.groups = history.groups, .taken = detail::taken_rates(learner, curve)};
    if (!known.taken.empty() && std::exchange(before, known.taken[0].stage) != before)
      page.subheading("before stage " + before);
    page.figure(to_figure(curve, known));
  }
  page.heading(plans_.size() > 1 ? "Plans" : "Plan");
  for (std::size_t i = 0; i < plans_.size(); ++i) {
    if (plans_.size() > 1) page.subheading(fmt::format("fit {}", i + 1));
    page.append(plans_[i]);
  }
  page.heading("Layer groups now");
  page.table(groups_table(learner.groups(), learner.optimizer()));
  page.heading("Environment");
  page.table(detail::environment_table(learner));
  page.write(path);
  written_ = std::chrono::steady_clock::now();
}

}  // namespace thaw

#endif
