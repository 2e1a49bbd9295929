// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/report/json_lines.hpp>

#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thaw/train/metric.hpp>

#include "support/bench.hpp"
#include "support/numbers.hpp"

using Json = nlohmann::json;
using thaw::JsonLines;
using thaw::test::Bench;

namespace {

/// A file that is gone afterwards; every line in it must be JSON.
struct LinesFile {
  std::FILE* file = std::tmpfile();
  LinesFile() = default;
  LinesFile(const LinesFile&) = delete;
  LinesFile& operator=(const LinesFile&) = delete;
  ~LinesFile() { std::fclose(file); }

  /// Through another view of the file, so that what was not flushed is missing.
  [[nodiscard]] std::vector<Json> lines() const {
    std::string text(1 << 20, '\0');
    const auto size = ::pread(fileno(file), text.data(), text.size(), 0);
    text.resize(static_cast<std::size_t>(size));
    std::istringstream all(text);
    std::vector<Json> found;
    for (std::string line; std::getline(all, line);) found.push_back(Json::parse(line));
    return found;
  }
};

std::vector<std::string> keys(const Json& object) {
  std::vector<std::string> found;
  for (const auto& [key, value] : object.items()) found.push_back(key);
  return found;  // sorted, as nlohmann keeps them
}

using Keys = std::vector<std::string>;

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

TEST_CASE("a run is told line by line: sweeps, stages, epochs, by the documented names") {
  const LinesFile out;
  Bench bench;
  const double began = seconds_now();
  thaw::Learner learner(bench.net, thaw::LayerGroups::cut_before(bench.net, {"body", "head"}), thaw::cross_entropy,
                        {.train = bench.data(8),
                         .valid = bench.data(16),
                         .metrics = {thaw::accuracy()},
                         .callbacks = {JsonLines{out.file}}});
  const thaw::LRCurve curve = learner.find_lr({.steps = 12});
  REQUIRE(out.lines().size() == 1);
  learner.fit({.name = "head \"1\"", .epochs = 2, .freeze = thaw::FreezeTo{-1}, .lr = 1e-2});
  const std::vector<Json> lines = out.lines();
  REQUIRE(lines.size() == 5);
  for (const Json& line : lines) {
    CHECK(line["run"] == learner.run_id());
    CHECK(line["time"].get<double>() >= began - 0.001);
    CHECK(line["time"].get<double>() <= seconds_now());
  }

  CHECK(keys(lines[0]) ==
        Keys{"event", "loss", "lr", "planned", "run", "smoothed", "stopped_early", "suggestions", "time"});
  CHECK(lines[0]["event"] == "find_lr");
  CHECK(lines[0]["planned"] == 12);
  CHECK(lines[0]["stopped_early"] == curve.stopped_early);
  CHECK(lines[0]["lr"].get<std::vector<double>>() == curve.lr);
  CHECK(lines[0]["loss"].get<std::vector<double>>() == curve.loss);
  CHECK(lines[0]["smoothed"].get<std::vector<double>>() == curve.smoothed);
  const auto suggested = thaw::suggestions(curve);
  CHECK(lines[0]["suggestions"].size() == suggested.size());
  for (const auto& each : suggested) CHECK(lines[0]["suggestions"][each.name] == each.lr);

  CHECK(keys(lines[1]) == Keys{"epochs", "event", "groups", "run", "stage", "steps_per_epoch", "time"});
  CHECK(lines[1]["event"] == "stage_begin");
  CHECK(lines[1]["stage"] == "head \"1\"");
  CHECK(lines[1]["epochs"] == 2);
  CHECK(lines[1]["steps_per_epoch"] == 5);
  REQUIRE(lines[1]["groups"].size() == 3);
  const auto body = learner.groups()[1].numel();
  CHECK(lines[1]["groups"][1] ==
        Json{{"name", "body"}, {"parameters", body}, {"trained", 0}, {"lr", 0}, {"first_step", nullptr}});
  CHECK(lines[1]["groups"][2] ==
        Json{{"name", "head"}, {"parameters", 18}, {"trained", 18}, {"lr", 1e-2}, {"first_step", 0}});

  const thaw::EpochRecord& last = learner.history().epochs.back();
  CHECK(lines[2]["epoch"] == 1);
  CHECK(keys(lines[3]) == Keys{"epoch", "epochs", "event", "lr", "metrics", "peak_memory", "run", "seconds", "stage",
                               "steps_done", "time", "train_loss", "valid_loss"});
  CHECK(lines[3]["event"] == "epoch");
  CHECK(lines[3]["stage"] == "head \"1\"");
  CHECK(lines[3]["epoch"] == 2);
  CHECK(lines[3]["epochs"] == 2);
  CHECK(lines[3]["steps_done"] == 10);
  CHECK(lines[3]["train_loss"] == last.train_loss);
  CHECK(lines[3]["valid_loss"] == last.valid->loss);
  CHECK(lines[3]["metrics"] == Json{{"accuracy", last.valid->metrics[0].value}});
  CHECK(lines[3]["lr"] == Json{{"stem", 0}, {"body", 0}, {"head", last.lr[2]}});
  CHECK(lines[3]["seconds"] == last.seconds);
  CHECK(lines[3]["peak_memory"].is_null());

  CHECK(keys(lines[4]) == Keys{"event", "run", "stage", "steps", "stop", "time"});
  CHECK(lines[4]["event"] == "stage_end");
  CHECK(lines[4]["steps"] == 10);
  CHECK(lines[4]["stop"] == nullptr);
}

TEST_CASE("what there is not is null, and so is what is not finite; a stop has its reason") {
  struct Stop {
    void on_step_end(const thaw::StepEnd& event) const { event.learner.stop("enough\n"); }
  };
  struct NoLoss {
    void on_loss_ready(const thaw::LossReady& event) const { event.loss = event.loss * thaw::test::not_a_number; }
  };
  const LinesFile out;
  Bench bench({.valid = false});
  bench.learner->fit({.name = "a"}, JsonLines{.out = out.file}, Stop{}, NoLoss{});
  const auto lines = out.lines();
  REQUIRE(lines.size() == 3);
  CHECK(lines[1]["train_loss"] == nullptr);
  CHECK(lines[1]["valid_loss"] == nullptr);
  CHECK(lines[1]["metrics"] == Json::object());
  CHECK(lines[2]["stop"] == "enough\n");
}

TEST_CASE("a stage that is stopped before its first epoch says why, not why the one before was") {
  struct Stop {
    void on_stage_begin(const thaw::StageBegin& event) const {
      if (event.stage != "c") event.learner.stop("no " + std::string(event.stage));
    }
  };
  const LinesFile out;
  Bench bench({.valid = false});
  bench.learner->fit({.name = "a"}, JsonLines{.out = out.file});
  bench.learner->fit(std::vector<thaw::Stage>{{.name = "b"}, {.name = "c"}}, JsonLines{.out = out.file}, Stop{});
  std::vector<Json> stops;
  for (const Json& line : out.lines())
    if (line["event"] == "stage_end") stops.push_back(line["stop"]);
  CHECK(stops == std::vector<Json>{nullptr, "no b", nullptr});
}

TEST_CASE("a resumed run says where it goes on") {
  struct Keep {
    std::vector<thaw::RunState>* states;
    void on_safe_point(const thaw::SafePoint& event) const { states->push_back(event.learner.run_state()); }
  };
  std::vector<thaw::RunState> states;
  const LinesFile first, second;
  Bench bench, next;
  bench.learner->fit({.name = "a"}, JsonLines{first.file}, Keep{&states});
  CHECK(first.lines().size() == 3);
  next.learner->resume(states.at(1));
  next.learner->fit({.name = "a"}, JsonLines{second.file}, Keep{&states});
  const auto lines = second.lines();
  REQUIRE(lines.size() == 3);
  CHECK(lines[0]["event"] == "resumed");
  CHECK(lines[0]["stage"] == "a");
  CHECK(lines[0]["step"] == 2);
  CHECK(lines[1]["event"] == "epoch");
  CHECK(lines[0]["run"] == first.lines()[0]["run"]);
}

TEST_CASE("lines that cannot be written do not stop the run") {
  std::FILE* full = std::fopen("/dev/full", "w");
  if (full == nullptr) SKIP("there is no /dev/full here");
  Bench bench;
  bench.learner->fit({.epochs = 2}, JsonLines{full});
  CHECK(bench.learner->history().epochs.size() == 2);
  std::fclose(full);
}
