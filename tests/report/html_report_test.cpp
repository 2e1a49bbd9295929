#include <thaw/report/html_report.hpp>

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cstdlib>
#include <filesystem>
#include <string>
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
    CHECK(parsed(page).all("svg", "thaw-figure").size() == 2);  // the run and the sweep
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
  CHECK(headings == std::vector<std::string>{"Curves", "Epochs", "Learning rate finder", "Stages", "Layer groups now",
                                             "Environment"});
  REQUIRE(html.all("h3").size() == 2);
  CHECK(html.all("h3")[1].text == "stage all &amp; more: 2 epochs of 5 steps");
  CHECK(count(end, "<td>1 of 1</td>") + count(end, "<td class=\"number\">1 of 1</td>") == 1);
  CHECK(count(end, "2 of 2</td>") == 1);
  CHECK_THAT(end, ContainsSubstring(">accuracy</th>") && ContainsSubstring(thaw::version) &&
                      ContainsSubstring(TORCH_VERSION) && ContainsSubstring(learner.run_id()));
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

TEST_CASE("the page of a resumed run has the stages that another process began") {
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
    if (from != nullptr) bench.learner->resume(*from);
    bench.learner->fit(two_stages(), HtmlReport{.path = folder / "run.html"}, Take{to});
    return parsed(text_of(folder / "run.html"));
  };
  thaw::RunState state;
  const Xml alone = fitted(nullptr, &state);
  REQUIRE(!state.empty());
  const Xml resumed = fitted(&state, nullptr);
  REQUIRE(resumed.all("h3").size() == 2);
  for (std::size_t i = 0; i < 2; ++i) CHECK(resumed.all("h3")[i].text == alone.all("h3")[i].text);
  CHECK(resumed.all("td").size() == alone.all("td").size());
}

TEST_CASE("a browser shows the page, and has nothing to complain about") {
  if (std::system("command -v chromium >/dev/null 2>&1") != 0) SKIP("there is no chromium here");
  const Folder folder;
  Bench bench;
  bench.learner->fit(two_stages(), HtmlReport{.path = folder / "run.html"});
  const std::string run =
      "cd '" + folder.path.string() +
      "' && HOME=$PWD timeout 60 chromium --headless --no-sandbox --disable-gpu --enable-logging=stderr "
      "--dump-dom \"file://$PWD/run.html\" >dom.html 2>log";
  if (std::system(run.c_str()) != 0) SKIP("chromium cannot run here");
  const std::string dom = text_of(folder / "dom.html");
  CHECK_THAT(dom, ContainsSubstring("<svg") && ContainsSubstring("</html>") && ContainsSubstring("Layer groups now"));
  CHECK(dom.find("parsererror") == std::string::npos);
  CHECK(text_of(folder / "log").find(":CONSOLE") == std::string::npos);
}
