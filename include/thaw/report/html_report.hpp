#pragma once

#include <ATen/Parallel.h>
#include <c10/util/Exception.h>
#include <torch/version.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <exception>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <thaw/core/version.hpp>
#include <thaw/report/detail/numbers.hpp>
#include <thaw/report/detail/run_series.hpp>
#include <thaw/report/detail/stage_text.hpp>
#include <thaw/report/groups_table.hpp>
#include <thaw/report/html.hpp>
#include <thaw/report/lr_plot.hpp>
#include <thaw/report/run_plot.hpp>
#include <thaw/report/table.hpp>
#include <thaw/train/learner.hpp>

namespace thaw {

namespace detail {

/// "2026-11-25 19:12:04 UTC".
[[nodiscard]] inline std::string time_text(std::time_t time) {
  std::tm parts{};
  ::gmtime_r(&time, &parts);
  std::array<char, 32> text{};
  const std::size_t size = std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S UTC", &parts);
  return {text.data(), size};
}

/// One row per epoch, oldest first.
[[nodiscard]] inline Table epochs_table(const History& history) {
  Table table{.headers = {"stage", "epoch", "train loss", "valid loss"}};
  const std::vector<std::string> names = metric_names(history);
  const std::size_t first = table.headers.size();
  table.headers.insert(table.headers.end(), names.begin(), names.end());
  table.headers.emplace_back("time");
  for (const EpochRecord& epoch : history.epochs) {
    std::vector<std::string> row(table.headers.size());
    row[0] = epoch.stage;
    row[1] = fmt::format("{} of {}", epoch.epoch, epoch.epochs);
    row[2] = measured(epoch.train_loss);
    if (epoch.valid) row[3] = measured(epoch.valid->loss);
    for (const MetricValue& metric : epoch.valid.value_or(Evaluation{}).metrics) {
      const auto column = static_cast<std::size_t>(std::ranges::find(names, metric.name) - names.begin());
      row[first + column] = measured(metric.value);
    }
    row.back() = duration(epoch.seconds);
    table.rows.push_back(std::move(row));
  }
  return table;
}

/// What the run stands on.
[[nodiscard]] inline Table environment_table(const Learner& learner) {
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

}  // namespace detail

/// A callback that keeps a page about the run: how far it is, losses, metrics, rates and momentum as curves, a row per
/// epoch, the LR finder's curves, what each stage trains, the layer groups as they are, and what the run stands on. The
/// page needs no network and no script, is rewritten as each epoch ends and every few seconds within one, and can be
/// open in a browser meanwhile: it reads itself anew until the run has ended.
///
///     learner.fit(plan, thaw::HtmlReport{"run.html"});
///
/// In LearnerOptions::callbacks it is about all fits. Throws FileError before the first step where the file cannot be
/// written; what cannot be written later (a full disk) is a warning, and the run goes on.
struct HtmlReport {
  std::filesystem::path path = "run.html";
  std::string title = "Training run";
  int seconds = 10;  ///< between two pages within an epoch; at least 1

  void on_stage_planned(const StagePlanned&) const {
    if (seconds < 1)
      throw ConfigError("HtmlReport", fmt::format("seconds is {}", seconds), "write it every second or less often");
  }
  void on_stage_begin(const StageBegin& event) {
    stages_.push_back(detail::stage_title(event));
    stages_.push_back(to_html(detail::group_table(event.groups)));
    state_ = fmt::format("stage {} begins", event.stage);
    write(event.learner, /*runs=*/true);
  }
  void on_step_end(const StepEnd& event) {
    if (std::chrono::steady_clock::now() - written_ < std::chrono::seconds(seconds)) return;
    state_ = fmt::format("stage {}, epoch {} of {}, step {} of {}", event.stage, event.epoch, event.epochs, event.step,
                         event.steps);
    rewrite(event.learner, /*runs=*/true);
  }
  void on_epoch_end(const EpochEnd& event) {
    state_ = fmt::format("stage {}, epoch {} of {} done", event.record.stage, event.record.epoch, event.record.epochs);
    rewrite(event.learner, /*runs=*/true);
  }
  void on_stage_end(const StageEnd& event) {
    const std::string stop = event.history.epochs.empty() ? "" : event.history.epochs.back().stop;
    state_ = fmt::format("stage {} has ended{}", event.record.name, stop.empty() ? "" : ": " + stop);
  }
  void on_fit_end(const FitEnd& event) {
    if (written_ != decltype(written_){}) rewrite(event.learner, /*runs=*/false);  // else it could not be
  }
  void on_run_state(const RunStateVisit& event) {
    event.state("stages", stages_);
    event.state("state", state_);
  }

  // run state
  std::vector<std::string> stages_ = {};  // title and HTML of each, in turn
  std::string state_ = {};
  std::chrono::steady_clock::time_point written_ = {};
  bool warned_ = false;

 private:
  void rewrite(Learner& learner, bool runs) {
    try {
      write(learner, runs);
    } catch (const std::exception& error) {
      if (!std::exchange(warned_, true)) {
        TORCH_WARN("thaw: HtmlReport: ", error.what());
      }
    }
  }

  void write(Learner& learner, bool runs) {
    const History& history = learner.history();
    HtmlPage page(title, runs ? seconds : 0);
    page.paragraph(fmt::format("{} ({})", state_, detail::time_text(std::time(nullptr))));
    page.heading("Curves");
    page.figure(to_figure(history));
    if (!history.epochs.empty()) {
      page.heading("Epochs");
      page.table(detail::epochs_table(history));
    }
    if (!learner.sweeps().empty()) page.heading("Learning rate finder");
    for (const LRCurve& curve : learner.sweeps()) page.figure(to_figure(curve));
    page.heading("Stages");
    for (std::size_t i = 0; i + 1 < stages_.size(); i += 2) {
      page.subheading(stages_[i]);
      page.append(stages_[i + 1]);
    }
    page.heading("Layer groups now");
    page.table(groups_table(learner.groups(), learner.optimizer()));
    page.heading("Environment");
    page.table(detail::environment_table(learner));
    page.write(path);
    written_ = std::chrono::steady_clock::now();
  }
};

}  // namespace thaw
