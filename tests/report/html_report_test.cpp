// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/report/html_report.hpp>

#include <ATen/Context.h>
#include <ATen/ops/rand.h>
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <thaw/find/suggest.hpp>
#include <thaw/train/find_group_lrs.hpp>
#include <thaw/train/keep_best.hpp>
#include <thaw/train/metric.hpp>
#include <vector>

#include "report/xml.hpp"
#include "support/bench.hpp"
#include "support/folder.hpp"

using Catch::Matchers::ContainsSubstring;
using thaw::HtmlReport;
using thaw::test::Bench;
using thaw::test::Folder;
using thaw::test::text_of;
using thaw::test::Xml;

namespace {

/// Reads the page whenever a callback may.
struct Reader {
  std::filesystem::path path;
  std::vector<std::string>* pages;
  void on_step_end(const thaw::StepEnd&) const { pages->push_back(text_of(path)); }
  void on_epoch_end(const thaw::EpochEnd&) const { pages->push_back(text_of(path)); }
};

Xml parsed(const std::string& page) {
  return Xml(std::string_view(page).substr(page.find('\n') + 1));
}

std::vector<thaw::Stage> two_stages() {
  return {{.name = "head", .epochs = 1, .freeze = thaw::FreezeTo{-1}, .lr = 1e-2},
          {.name = "all & more", .epochs = 2, .freeze = thaw::Unfrozen{}, .lr = 1e-3}};
}

std::size_t count(const std::string& text, const std::string& words) {
  std::size_t n = 0;
  for (std::size_t at = text.find(words); at != std::string::npos; at = text.find(words, at + 1)) ++n;
  return n;
}

}  // namespace

TEST_CASE("the page of a run is whole at any moment, and in the end tells all of it") {
  const Folder folder;
  const auto path = folder / "run.html";
  Bench bench;
  thaw::Learner learner(bench.net, thaw::LayerGroups::per_child(bench.net), thaw::cross_entropy,
                        {.train = bench.data(8), .valid = bench.data(16), .metrics = {thaw::accuracy()}});
  (void)learner.find_lr({.steps = 12});
  std::vector<std::string> pages;
  learner.fit(two_stages(), HtmlReport{.path = path, .title = "Digits"}, Reader{path, &pages});
  REQUIRE(pages.size() == 3 * 5 + 3);
  for (const std::string& page : pages) {
    CHECK(parsed(page).all("svg", "thaw-figure").size() == 4);  // the run, the sweep, the plan, its schedules
    CHECK(page.find("http-equiv=\"refresh\" content=\"10\"") != std::string::npos);
  }
  CHECK_THAT(pages[0], ContainsSubstring("stage head begins"));
  CHECK_THAT(pages[5], ContainsSubstring("stage head, epoch 1 of 1 done"));

  const std::string end = text_of(path);
  const Xml html = parsed(end);
  CHECK(end.find("refresh") == std::string::npos);
  CHECK(html.all("title").at(0).text == "Digits");
  CHECK_THAT(end, ContainsSubstring("stage all &amp; more has ended"));
  std::vector<std::string> headings;
  for (const auto& each : html.all("h2")) headings.push_back(each.text);
  CHECK(headings == std::vector<std::string>{"Curves", "Epochs", "Learning rate finder", "Plan", "Layer groups now",
                                             "Environment"});
  REQUIRE(html.all("h3").size() == 1);
  CHECK(html.all("h3")[0].text == "before stage head");                                      // the sweep
  CHECK(count(end, "<td>2 x 5</td>") + count(end, "<td class=\"number\">2 x 5</td>") == 1);  // the table of the plan
  CHECK(html.all("rect", "block").size() == 2 * 3);  // frozen groups and the legend, of the plan and of the run
  CHECK(html.all("summary").at(0).text == "Schedules");
  CHECK(count(end, ">head, all &amp; more</text>") == 1);  // they have one schedule
  CHECK(count(end, "<td>1 of 1</td>") + count(end, "<td class=\"number\">1 of 1</td>") == 1);
  CHECK(count(end, "2 of 2</td>") + count(end, "2 of 2, best</td>") == 1);
  CHECK(count(end, " has ended") == 1);
  CHECK_THAT(end, ContainsSubstring(">accuracy</th>") && ContainsSubstring(thaw::version) &&
                      ContainsSubstring(TORCH_VERSION) && ContainsSubstring(learner.run_id()));
}

TEST_CASE("each fit has its plan on the page, with its notes") {
  const Folder folder;
  Bench bench({.norm = true});
  thaw::Learner learner(bench.net, thaw::LayerGroups::per_child(bench.net), thaw::cross_entropy,
                        {.train = bench.data(8), .callbacks = {HtmlReport{.path = folder / "run.html"}}});
  learner.fit({.name = "a"});
  CHECK_THAT(text_of(folder / "run.html"), ContainsSubstring("<p>note, stage a: "));
  learner.fit(two_stages());
  const Xml html = parsed(text_of(folder / "run.html"));
  REQUIRE(html.all("h3").size() == 2);
  CHECK(html.all("h3")[1].text == "fit 2");
  CHECK(html.all("svg", "thaw-figure").size() == 1 + 2 * 2);
}

TEST_CASE("the page shows the results of the last epoch, and taking them changes nothing") {
  const Folder folder;
  const auto fitted = [&](bool results, bool per_stage) {
    Bench bench({.norm = true});
    std::vector<std::string> pages;
    HtmlReport report{.path = folder / "run.html", .results_per_stage = per_stage};
    int taken = 0;
    if (results)
      report.results = [&taken, &bench](thaw::Learner& learner, thaw::HtmlPart& page) {
        (void)at::rand({3});
        (void)learner.predict(thaw::Fields{bench.input});
        const std::string number = std::to_string(++taken);
        page.picture({.caption = "sample <" + number + ">", .bytes = number});
        page.picture({.caption = "other", .media_type = "image/jpeg", .bytes = "foobar"});
      };
    bench.learner->fit(two_stages(), report, Reader{folder / "run.html", &pages});
    CHECK(taken == (!results ? 0 : per_stage ? 2 : 3));
    auto state = thaw::test::state_of(*bench.net);
    state["random"] = at::globalContext().defaultGenerator(at::kCPU).get_state();
    return std::pair(pages, state);
  };
  const auto with = fitted(true, false), without = fitted(false, false);
  REQUIRE(with.second.size() == without.second.size());
  for (const auto& [name, tensor] : with.second) CHECK(at::equal(tensor, without.second.at(name)));
  CHECK(count(with.first.at(4), "<img") == 0);
  CHECK_THAT(with.first.at(5), ContainsSubstring("<h2>Results</h2>\n<p>after epoch 1 of 1 of stage head</p>") &&
                                   ContainsSubstring("data:image/png;base64,MQ==\" alt=\"sample &lt;1&gt;\""));
  const std::string end = with.first.back();
  CHECK(count(end, "<img") == 2);
  CHECK_THAT(end, ContainsSubstring("sample &lt;3&gt;") && ContainsSubstring("data:image/jpeg;base64,Zm9vYmFy"));
  CHECK_NOTHROW(parsed(end));

  const auto per_stage = fitted(true, true);
  CHECK(count(per_stage.first.at(5), "<img") == 0);
  CHECK_THAT(text_of(folder / "run.html"),
             ContainsSubstring("<p>after stage all &amp; more</p>") && ContainsSubstring("sample &lt;2&gt;"));
}

TEST_CASE("results leave the model in the mode that it was in") {
  const Folder folder;
  Bench bench({.valid = false});
  HtmlReport report{.path = folder / "run.html", .results_per_stage = true};
  report.results = [&](thaw::Learner& learner, thaw::HtmlPart&) { (void)learner.predict(thaw::Fields{bench.input}); };
  bench.learner->fit({}, report);
  CHECK(bench.net->is_training());
}

TEST_CASE("results that cannot be had are a warning, and the run goes on") {
  const Folder folder;
  Bench bench;
  HtmlReport report{.path = folder / "run.html"};
  report.results = [](thaw::Learner&, thaw::HtmlPart& page) {
    page.paragraph("half of them");
    throw std::runtime_error("no camera");
  };
  bench.learner->fit({.epochs = 2}, report);
  CHECK(bench.learner->history().epochs.size() == 2);
  CHECK_THAT(text_of(folder / "run.html"),
             ContainsSubstring("has ended") && !ContainsSubstring("Results") && !ContainsSubstring("half"));
}

TEST_CASE("the answer stands on top: the best value, in which epoch, and what was chosen") {
  const Folder folder;
  Bench bench;
  thaw::Learner learner(bench.net, thaw::LayerGroups::per_child(bench.net), thaw::cross_entropy,
                        {.train = bench.data(8), .valid = bench.data(16), .metrics = {thaw::accuracy()}});
  const auto steep = thaw::suggestion(learner.find_lr({.steps = 40}), "steep");
  REQUIRE(steep);
  const HtmlReport report{.path = folder / "run.html", .monitor = "valid_loss"};
  learner.fit({.name = "head", .epochs = 3, .lr = *steep, .why = {"because <it> is so"}}, report,
              thaw::KeepBest{"accuracy"});
  const std::string page = text_of(folder / "run.html");
  const Xml html = parsed(page);
  const auto& epochs = learner.history().epochs;
  const auto best = std::ranges::min_element(epochs, {}, [](const auto& epoch) { return epoch.valid->loss; });
  const auto answer = html.all("p", "answer");
  REQUIRE(answer.size() == 1);
  CHECK_THAT(answer[0].text,
             Catch::Matchers::StartsWith(
                 fmt::format("best valid_loss: {:.4f} (stage head, epoch {} of 3); last epoch: {:.4f}; 3 epochs in ",
                             best->valid->loss, best->epoch, epochs.back().valid->loss)));
  CHECK_THAT(page, ContainsSubstring(">steep</td>") &&
                       ContainsSubstring("<p>stage head: because &lt;it&gt; is so</p>") &&
                       ContainsSubstring("<p>stage head: kept: "));
  CHECK(page.find("class=\"answer\"") < page.find("<h2>Curves"));
  CHECK(html.texts("stage main") ==
        std::vector<std::string>{"steep " + thaw::detail::scientific(*steep, 1) + ": head"});
  CHECK(count(page, fmt::format("{} of 3, best</td>", best->epoch)) == 1);
  CHECK_THROWS_AS(learner.fit({}, HtmlReport{.path = folder / "run.html", .monitor = "nothing"}), thaw::ConfigError);
}

TEST_CASE("the curves of single layer groups are in their colours") {
  const Folder folder;
  Bench bench;
  bench.learner->unfreeze();
  const thaw::GroupLRs found = thaw::find_group_lrs(*bench.learner, {.steps = 30});
  bench.learner->fit({.lr = found.lr.value_or(1e-3)}, HtmlReport{.path = folder / "run.html"});
  const Xml html = parsed(text_of(folder / "run.html"));
  std::vector<std::string> titles = html.texts("title");
  for (const char* group : {"stem", "body", "head"})
    CHECK(std::ranges::count(titles, "loss, group " + std::string(group) + " alone") == 1);
  REQUIRE(html.all("h3").size() == 1);  // all three are before one stage
}

TEST_CASE("a metric may be named as another column is") {
  const thaw::History history{
      .epochs = {{.stage = "all",
                  .epoch = 1,
                  .epochs = 1,
                  .valid = thaw::Evaluation{.loss = 2, .metrics = {{"time", 0.25}, {"stage", 0.5}}}}}};
  const thaw::Table table = thaw::detail::epochs_table(history);
  REQUIRE(table.rows.size() == 1);
  CHECK(table.headers ==
        std::vector<std::string>{"stage", "epoch", "train loss", "valid loss", "time", "stage", "time"});
  CHECK(table.rows[0] == std::vector<std::string>{"all", "1 of 1", "0.0000", "2.0000", "0.2500", "0.5000", "0.00s"});
}

TEST_CASE("a page that cannot be written is an error before the first step, a warning after it") {
  const Folder folder;
  Bench bench;
  CHECK_THROWS_AS(bench.learner->fit({}, HtmlReport{.path = folder / "none" / "run.html"}), thaw::FileError);
  CHECK(bench.learner->history().steps.empty());
  CHECK_THROWS_AS(bench.learner->fit({}, HtmlReport{.path = folder / "run.html", .seconds = 0}), thaw::ConfigError);

  struct Remove {
    std::filesystem::path folder;
    void on_step_end(const thaw::StepEnd&) const { std::filesystem::remove_all(folder); }
  };
  std::filesystem::create_directory(folder / "a");
  bench.learner->fit({.epochs = 2}, HtmlReport{.path = folder / "a" / "run.html"}, Remove{folder / "a"});
  CHECK(bench.learner->history().epochs.size() == 2);
  CHECK(folder.files() == 0);
}

TEST_CASE("the page of a resumed run has the plan and the results of the process before") {
  const Folder folder;
  const auto fitted = [&](thaw::RunState* from, thaw::RunState* to) {
    struct Take {
      thaw::RunState* state;
      void on_epoch_end(const thaw::EpochEnd&) const {}
      void on_safe_point(const thaw::SafePoint& event) const {
        if (state == nullptr || event.learner.history().epochs.size() != 2 || !state->empty()) return;
        *state = event.learner.run_state();
        for (auto& [name, tensor] : *state) tensor = tensor.clone();
      }
    };
    Bench bench;
    HtmlReport report{.path = folder / "run.html", .results_per_stage = true};
    report.results = [](thaw::Learner& learner, thaw::HtmlPart& page) {
      if (learner.history().stages.size() > 1) throw std::runtime_error("none of the second stage");
      page.picture({.caption = "of the first stage", .bytes = "1"});
    };
    if (from != nullptr) bench.learner->resume(*from);
    bench.learner->fit(two_stages(), report, Take{to});
    return parsed(text_of(folder / "run.html"));
  };
  thaw::RunState state;
  const Xml alone = fitted(nullptr, &state);
  REQUIRE(!state.empty());
  const Xml resumed = fitted(&state, nullptr);
  REQUIRE(resumed.all("img").size() == 1);
  CHECK(resumed.all("img")[0]["alt"] == "of the first stage");
  CHECK(resumed.all("svg", "thaw-figure").size() == 3);
  CHECK(resumed.all("h3").empty());
  CHECK(resumed.all("td").size() == alone.all("td").size());
}

TEST_CASE("a browser shows the page, and has nothing to complain about") {
  if (std::system("command -v chromium >/dev/null 2>&1") != 0) SKIP("there is no chromium here");
  const Folder folder;
  Bench bench;
  HtmlReport report{.path = folder / "run.html"};
  report.results = [](thaw::Learner&, thaw::HtmlPart& page) {
    page.picture({.caption = "a circle",
                  .media_type = "image/svg+xml",
                  .bytes = R"(<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9">)"
                           R"(<circle r="4" cx="4.5" cy="4.5"/></svg>)"});
  };
  bench.learner->fit(two_stages(), report);
  const std::string run =
      "cd '" + folder.path.string() +
      "' && HOME=$PWD timeout 60 chromium --headless --no-sandbox --disable-gpu --enable-logging=stderr "
      "--dump-dom \"file://$PWD/run.html\" >dom.html 2>log";
  if (std::system(run.c_str()) != 0) SKIP("chromium cannot run here");
  const std::string dom = text_of(folder / "dom.html");
  CHECK_THAT(dom, ContainsSubstring("<svg") && ContainsSubstring("</html>") && ContainsSubstring("Layer groups now"));
  CHECK(dom.find("parsererror") == std::string::npos);
  CHECK(count(dom, "class=\"thaw-figure\"") == 3);  // the run, the plan, its schedules
  CHECK(count(dom, "class=\"block\"") == 6);
  CHECK(count(dom, "<img src=\"data:image/svg+xml;base64,PHN2Zy") == 1);
  CHECK(text_of(folder / "log").find(":CONSOLE") == std::string::npos);
}
