// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/report/console.hpp>
#include <thaw/report/detail/progress_line.hpp>

#include <ATen/ops/ones.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/zeros.h>
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <thaw/data/in_memory.hpp>
#include <thaw/find/suggest.hpp>
#include <thaw/train/callback.hpp>
#include <thaw/train/plan.hpp>
#include <vector>

#include "report/pty.hpp"
#include "support/bench.hpp"
#include "support/idle_learner.hpp"

using Catch::Matchers::ContainsSubstring;
using thaw::Console;
using thaw::Terminal;

namespace {

/// A run of two epochs of four steps, as a Learner would tell it, into a string.
struct Script {
  std::string text;
  double now = 100;
  std::size_t columns = 80;
  Terminal terminal{.write = [this](std::string_view more) { text += more; },
                    .seconds = [this] { return now; },
                    .columns = [this] { return columns; }};

  std::shared_ptr<thaw::Learner> learner = thaw::test::idle_learner();
  std::string name = "head";
  std::vector<thaw::GroupPlan> groups{{.name = "body", .parameters = 3456789},
                                      {.name = "head", .parameters = 12810, .trained = 12810, .lr = 2e-3}};
  std::vector<double> rates{0, 1.5e-3};

  void begin(thaw::Callback& to) {
    to.on(thaw::StageBegin{.learner = *learner, .stage = name, .epochs = 2, .steps_per_epoch = 4, .groups = groups});
  }
  void step(thaw::Callback& to, std::int64_t step, const at::Tensor& loss) {
    to.on(thaw::StepEnd{.learner = *learner,
                        .stage = name,
                        .epoch = (step + 3) / 4,
                        .epochs = 2,
                        .step = step,
                        .steps = 8,
                        .lr = rates,
                        .loss = loss});
  }
  void epoch(thaw::Callback& to, std::int64_t epoch, std::optional<thaw::Evaluation> valid, double seconds,
             std::int64_t peak_memory = 0) {
    const thaw::EpochRecord record{.stage = name,
                                   .epoch = epoch,
                                   .epochs = 2,
                                   .train_loss = 0.7 / static_cast<double>(epoch),
                                   .valid = valid,
                                   .seconds = seconds,
                                   .peak_memory = peak_memory};
    to.on(thaw::EpochEnd{*learner, record});
  }
  void end(thaw::Callback& to) { to.on(thaw::StageEnd{.learner = *learner, .record = {}, .history = {}, .stop = {}}); }
};

const std::string head =
    "stage head: 2 epochs of 4 steps\n"
    "  group  parameters  trained    rate\n"
    "  -----  ----------  -------  ------\n"
    "  body    3,456,789        0  frozen\n"
    "  head       12,810   12,810  2.0e-3\n"
    "\n";

}  // namespace

TEST_CASE("plain output: a table of groups, a row per epoch, no losses read, no control characters") {
  Script s;
  thaw::Callback console{Console{s.terminal}};
  s.begin(console);
  for (std::int64_t i = 1; i <= 4; ++i, s.now += 1) s.step(console, i, at::Tensor{});  // reading it would throw
  s.epoch(console, 1, thaw::Evaluation{0.5, {{"accuracy", 0.8125}, {"a_metric_with_quite_a_long_name", 1e-5}}}, 4.25);
  s.epoch(console, 2, thaw::Evaluation{0.25, {{"accuracy", 0.9}, {"a_metric_with_quite_a_long_name", 12}}}, 83);
  s.end(console);
  CHECK(s.text == head +
                      "   epoch  train loss  valid loss    accuracy  a_metric_with_quite_a_..     time\n"
                      "     1/2      0.7000      0.5000      0.8125                  1.000e-5    4.25s\n"
                      "     2/2      0.3500      0.2500      0.9000                   12.0000     1:23\n"
                      "\n");
}

TEST_CASE("epochs without validation have a dash; new metrics, a new header; a new stage, a new table") {
  Script s;
  thaw::Callback console{Console{s.terminal}};
  s.begin(console);
  s.text.clear();
  s.epoch(console, 1, {}, 1);
  s.epoch(console, 2, thaw::Evaluation{0.5, {{"f1", 0.5}}}, 1);
  s.epoch(console, 3, {}, 1);
  CHECK(s.text ==
        "   epoch  train loss  valid loss     time\n"
        "     1/2      0.7000           -    1.00s\n"
        "   epoch  train loss  valid loss          f1     time\n"
        "     2/2      0.3500      0.5000      0.5000    1.00s\n"
        "     3/2      0.2333           -           -    1.00s\n");
  s.text.clear();
  s.begin(console);
  s.epoch(console, 1, {}, 1);
  CHECK(s.text == head +
                      "   epoch  train loss  valid loss     time\n"
                      "     1/2      0.7000           -    1.00s\n");
}

TEST_CASE("the memory of a device has a column, in megabytes or gigabytes") {
  Script s;
  thaw::Callback console{Console{s.terminal}};
  s.begin(console);
  s.text.clear();
  const thaw::Evaluation valid{0.5, {{"accuracy", 0.5}}};
  s.epoch(console, 1, valid, 1, 1'234'000'001);
  s.epoch(console, 2, valid, 1, 12'340'000'000);
  CHECK(s.text ==
        "   epoch  train loss  valid loss    accuracy      memory     time\n"
        "     1/2      0.7000      0.5000      0.5000     1235 MB    1.00s\n"
        "     2/2      0.3500      0.5000      0.5000     12.3 GB    1.00s\n");
}

TEST_CASE("on a terminal a progress line is drawn over itself, ten times a second, and erased") {
  Script s;
  s.terminal.interactive = true;
  thaw::Callback console{Console{s.terminal}};
  s.begin(console);
  CHECK(s.text == head);
  s.text.clear();
  s.now += 0.5;
  s.step(console, 1, at::scalar_tensor(0.75));
  CHECK(s.text == "\r  epoch 1/2  [=       ]  1/8  loss 0.7500  0:04 left  rate 1.5e-3  2.00 steps/s\x1b[K");
  s.text.clear();
  s.now += 0.09;
  s.step(console, 2, at::Tensor{});  // too soon: not even read
  CHECK(s.text.empty());
  s.now += 0.41;
  s.step(console, 4, at::scalar_tensor(0.5));
  CHECK(s.text == "\r  epoch 1/2  [====    ]  4/8  loss 0.5000  0:01 left  rate 1.5e-3  4.00 steps/s\x1b[K");
  s.text.clear();
  s.now += 1;  // validation
  s.epoch(console, 1, {}, 2);
  CHECK(s.text ==
        "\r\x1b[K"
        "   epoch  train loss  valid loss     time\n"
        "     1/2      0.7000           -    2.00s\n");
  s.text.clear();
  s.now += 0.5;
  s.step(console, 5, at::scalar_tensor(0.5));  // speed: of this epoch; time left: with validation
  CHECK_THAT(s.text, ContainsSubstring("5/8") && ContainsSubstring("2.00 steps/s") && ContainsSubstring("0:02 left"));
  s.text.clear();
  s.end(console);
  CHECK(s.text == "\r\x1b[K\n");
  s.text.clear();
  s.end(console);
  CHECK(s.text == "\n");  // nothing to erase
}

TEST_CASE("the time left is that of the whole plan") {
  Script s;
  s.terminal.interactive = true;
  thaw::Callback console{Console{s.terminal}};
  const std::vector<thaw::StageDescription> plan{{.epochs = 2, .steps_per_epoch = 4},
                                                 {.epochs = 3, .steps_per_epoch = 4}};
  console.on(thaw::FitBegin{.learner = *s.learner, .plan = plan});
  s.begin(console);
  s.now += 4;
  s.step(console, 4, at::scalar_tensor(0.5));
  CHECK_THAT(s.text, ContainsSubstring("0:16 left"));  // 4 steps of this stage, 12 of the next
  s.end(console);
  s.begin(console);
  s.now += 4;
  s.step(console, 4, at::scalar_tensor(0.5));
  CHECK_THAT(s.text, ContainsSubstring("0:04 left"));
  thaw::RunState state;
  s.begin(console);
  console.on(thaw::FitBegin{.learner = *s.learner, .plan = plan});
  s.begin(console);
  console.on(thaw::RunStateVisit{*s.learner, thaw::StateVisitor(state, /*reading=*/false), true});
  Script other;
  other.terminal.interactive = true;
  thaw::Callback resumed{Console{other.terminal}};
  other.begin(resumed);
  resumed.on(thaw::RunStateVisit{*other.learner, thaw::StateVisitor(state, /*reading=*/true), true});
  other.now += 4;
  other.step(resumed, 4, at::scalar_tensor(0.5));
  CHECK_THAT(other.text, ContainsSubstring("0:16 left"));
}

TEST_CASE("an epoch that is the best so far is marked, by the validation loss where there is no metric") {
  std::string text;
  thaw::test::Bench bench;
  bench.learner->fit({.epochs = 6, .lr = 3.0},
                     Console(Terminal{.write = [&](std::string_view more) { text += more; }}));
  double lowest = std::numeric_limits<double>::infinity();
  std::size_t marked = 0;
  for (const thaw::EpochRecord& epoch : bench.learner->history().epochs) {
    const std::size_t at = text.find(fmt::format("{}/6", epoch.epoch));
    const std::string line = text.substr(at, text.find('\n', at) - at);
    CHECK(line.ends_with("s  best") == (epoch.valid->loss < lowest));
    marked += epoch.valid->loss < lowest ? 1 : 0;
    lowest = std::min(lowest, epoch.valid->loss);
  }
  CHECK((marked > 0 && marked < 6));
}

TEST_CASE("a stage says by which of the LR finder's rules it has its rate") {
  thaw::test::Bench bench;
  const auto told = [&](double lr) {
    std::string text;
    bench.learner->fit({.lr = lr}, Console(Terminal{.write = [&](std::string_view more) { text += more; }}));
    return text;
  };
  const auto steep = thaw::suggestion(bench.learner->find_lr({.steps = 40}), "steep");
  REQUIRE(steep);
  CHECK_THAT(told(*steep), ContainsSubstring("\n  rate: the LR finder's steep\n\n"));
  CHECK_THAT(told(*steep), !ContainsSubstring("LR finder"));  // that curve was of the weights before
  (void)bench.learner->find_lr({.steps = 40});
  CHECK_THAT(told(1e-3), !ContainsSubstring("LR finder"));
}

TEST_CASE("a stage says why it is as it is") {
  std::string text;
  thaw::test::Bench bench;
  const Console console(Terminal{.write = [&](std::string_view more) { text += more; }});
  bench.learner->fit({.why = {"its rate had the lowest loss", "as\rtold"}}, console);
  CHECK_THAT(text, ContainsSubstring("\n  its rate had the lowest loss\n  as\xEF\xBF\xBDtold\n\n"));
}

TEST_CASE("a group of which only the norm layers train does not look thawed") {
  Script s;
  s.groups[0] = {.name = "body", .parameters = 3456789, .trained = 64, .lr = 1e-4, .thawed_step = -1};
  s.groups[1].thawed_step = 4;
  thaw::Callback console{Console{s.terminal}};
  s.begin(console);
  CHECK_THAT(s.text, ContainsSubstring("  body    3,456,789       64  1.0e-4, norm layers only\n") &&
                         ContainsSubstring("2.0e-3, all from step 5\n"));
}

TEST_CASE("headings are bold and dim where colour is wanted") {
  Script s;
  s.terminal.color = true;
  thaw::Callback console{Console{s.terminal}};
  s.begin(console);
  CHECK_THAT(s.text, ContainsSubstring("\x1b[1mstage head: 2 epochs of 4 steps\x1b[0m\n"));
  s.text.clear();
  s.epoch(console, 1, {}, 1);
  CHECK_THAT(s.text, ContainsSubstring("\x1b[2m   epoch  train loss  valid loss     time\x1b[0m\n"));
}

TEST_CASE("names cannot move the cursor") {
  Script s;
  s.name = "a\x1b[2Jb\n";
  s.groups[0].name = "x\ry";
  thaw::Callback console{Console{s.terminal}};
  s.begin(console);
  s.epoch(console, 1, thaw::Evaluation{0.5, {{"m\n", 1}}}, 1);
  CHECK_THAT(s.text, !ContainsSubstring("\x1b") && !ContainsSubstring("\r") && !ContainsSubstring("m\n"));
}

TEST_CASE("a console writes to the stream that it is given, without a progress line if not wanted") {
  std::FILE* file = std::tmpfile();
  REQUIRE(file != nullptr);
  Script s;
  thaw::Callback console{Console{{.out = file, .progress = false}}};
  s.begin(console);
  std::rewind(file);
  std::string text(1000, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file));
  std::fclose(file);
  CHECK(text == head);
}

TEST_CASE("a progress line that is not wanted is not drawn, and no loss is read for it") {
  const thaw::test::PseudoTerminal pty{80};
  if (pty.file() == nullptr) SKIP("no pseudo-terminals here");
  const thaw::test::Environment term{"TERM", "xterm"};
  Script s;
  thaw::Callback quiet{Console{{.out = pty.file(), .progress = false}}}, lively{Console{{.out = pty.file()}}};
  s.begin(quiet);
  s.begin(lively);
  CHECK_NOTHROW(s.step(quiet, 1, at::Tensor{}));
  CHECK_THROWS(s.step(lively, 1, at::Tensor{}));
}

TEST_CASE("the progress line shows what fits, and never more") {
  const thaw::detail::ProgressState state{.epoch = 2,
                                          .epochs = 3,
                                          .step = 78,
                                          .steps = 141,
                                          .loss = 0.4211,
                                          .lr = 1e-4,
                                          .steps_per_second = 123.4,
                                          .seconds_left = 75};
  using thaw::detail::progress_line;
  CHECK(progress_line(state, 200, true) ==
        "  epoch 2/3  ━━━━━━━━━━━━━━━━╸─────────────   78/141  loss 0.4211  1:15 left  rate 1.0e-4  123 steps/s");
  CHECK(progress_line(state, 60, true) == "  epoch 2/3  ━━━━━━╸─────   78/141  loss 0.4211  1:15 left");
  CHECK(progress_line(state, 40, true) == "  epoch 2/3   78/141  loss 0.4211");
  CHECK(progress_line(state, 19, true) == "  epoch 2/3   78/..");
  CHECK(progress_line({.epoch = 1, .epochs = 1, .step = 1, .steps = 16}, 60, false) ==
        "  epoch 1/1  [=                ]   1/16  loss 0.0000  rate 0");
  for (std::size_t columns = 0; columns < 200; ++columns)
    for (const bool unicode : {false, true})
      CHECK(thaw::detail::display_width(progress_line(state, columns, unicode)) <= columns);
}

TEST_CASE("before there is a speed, neither it nor the time left is shown") {
  const std::string line = thaw::detail::progress_line({.epoch = 1, .epochs = 1, .step = 1, .steps = 2}, 200, false);
  CHECK_THAT(line, !ContainsSubstring("left") && !ContainsSubstring("steps/s"));
}

TEST_CASE("on a narrow terminal no line is wider than the window; elsewhere lines are whole") {
  for (const bool interactive : {true, false}) {
    Script s;
    s.terminal.interactive = interactive;
    s.columns = 54;
    s.groups[0].name = "features.0-7, a group with a long name";
    thaw::Callback console = Console(s.terminal);
    s.begin(console);
    s.epoch(console, 1, thaw::Evaluation{0.5, {{"a_metric_with_a_long_name", 0.8125}}}, 4.25);
    std::size_t widest = 0;
    for (std::string_view rest = s.text; !rest.empty(); rest.remove_prefix(rest.find('\n') + 1))
      widest = std::max(widest, thaw::detail::display_width(rest.substr(0, rest.find('\n'))));
    CHECK((widest <= 54) == interactive);
    CHECK_THAT(s.text, ContainsSubstring(interactive ? "features.0-7, a group..   3,456,789        0  frozen\n"
                                                     : "features.0-7, a group with a long name"));
    CHECK_THAT(s.text, ContainsSubstring(interactive ? "a_metric.." : "a_metric_with_a_long_n.."));
    CHECK_THAT(s.text, ContainsSubstring("0.8125    4.25s\n"));
  }
}

TEST_CASE("a stage that was stopped says why, and groups that thaw later say when") {
  Script s;
  s.groups[0] = {.name = "body", .parameters = 3456789, .trained = 3456789, .lr = 1e-4, .first_step = 4};
  thaw::Callback console = Console(s.terminal);
  s.begin(console);
  CHECK_THAT(s.text, ContainsSubstring("  body    3,456,789  3,456,789  1.0e-4, from step 5\n"));
  s.text.clear();
  console.on(thaw::StageEnd{.learner = *s.learner, .record = {}, .history = {}, .stop = "no better for 3 epochs"});
  CHECK(s.text == "stopped: no better for 3 epochs\n\n");
}

TEST_CASE("a run that goes on says where") {
  const auto make = [] {
    const torch::nn::Linear model(2, 2);
    const thaw::InMemory data(
        {.input = at::ones({4, 2}), .target = at::zeros({4}, at::kLong), .batch_size = 2, .shuffle = false});
    return std::make_shared<thaw::Learner>(model, thaw::LayerGroups::cut_before(model, {}), thaw::cross_entropy,
                                           thaw::LearnerOptions{.train = data});
  };
  struct Keep {
    std::vector<thaw::RunState>* states;
    void on_safe_point(const thaw::SafePoint& event) const { states->push_back(event.learner.run_state()); }
  };
  const thaw::Stage stage{.name = "head", .epochs = 1, .lr = 1e-2};
  std::vector<thaw::RunState> states;
  make()->fit(stage, Keep{&states});
  Script s;
  const auto next = make();
  next->resume(states.at(0));
  next->fit(stage, Console(s.terminal));
  CHECK_THAT(s.text, ContainsSubstring("resumed after step 1 of stage head\n"));
  CHECK_THAT(s.text, !ContainsSubstring("stage head: 1 epochs"));

  s.text.clear();
  const auto quiet = make();
  quiet->resume(states.at(0));
  quiet->fit(stage, Console(s.terminal, /*quiet=*/true));
  CHECK(std::ranges::count(s.text, '\n') == 1);
  CHECK_THAT(s.text, ContainsSubstring("stage head: 1 epoch in "));
}

TEST_CASE("a quiet console says one line per stage, as it ends") {
  Script s;
  s.terminal.interactive = true;
  thaw::Callback console{Console(s.terminal, /*quiet=*/true)};
  s.begin(console);
  s.step(console, 1, at::Tensor{});
  s.epoch(console, 1, {}, 1);
  CHECK(s.text.empty());
  thaw::History history{.epochs = {{.seconds = 100}, {.epoch = 1, .seconds = 4.25}, {.epoch = 2, .seconds = 8}}};
  history.epochs.back().train_loss = 0.35;
  history.epochs.back().valid = thaw::Evaluation{0.25, {{"accuracy\n", 0.9}}};
  const thaw::StageRecord stage{.name = "head", .steps = 8};
  const auto end = [&](std::string_view stop = "") {
    s.text.clear();
    console.on(thaw::StageEnd{.learner = *s.learner, .record = stage, .history = history, .stop = stop});
    return s.text;
  };
  CHECK(end() == "stage head: 2 epochs in 12.2s, train loss 0.3500, valid loss 0.2500, accuracy\xEF\xBF\xBD 0.9000\n");
  history.epochs.back().valid.reset();
  CHECK(end("no better") == "stage head: 2 epochs in 12.2s, train loss 0.3500; stopped: no better\n");
  history.epochs.clear();
  CHECK(end() == "stage head: no steps\n");
  CHECK(end("no space") == "stage head: no steps; stopped: no space\n");
}

TEST_CASE("a quiet console writes to the stream that it is given") {
  std::FILE* file = std::tmpfile();
  REQUIRE(file != nullptr);
  Script s;
  thaw::Callback console{Console{{.out = file, .quiet = true}}};
  s.begin(console);
  s.end(console);
  std::rewind(file);
  std::string text(1000, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file));
  std::fclose(file);
  CHECK(text == "stage : no steps\n");
}
