// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/report/html_report.hpp>

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <catch2/catch_test_macros.hpp>
#include <string>
#include <thaw/groups/gradual_unfreeze.hpp>
#include <thaw/report/class_results.hpp>
#include <thaw/train/find_group_lrs.hpp>
#include <thaw/train/metric.hpp>
#include <vector>

#include "report/browser.hpp"
#include "support/bench.hpp"

namespace {

/// A page with all that a page can have, and more of it than there is room for.
std::string crowded_page(const std::filesystem::path& path) {
  thaw::test::Bench bench({.norm = true});
  thaw::HtmlReport report{.path = path, .title = "A run with quite a long title, as people give them"};
  report.results = [](thaw::Learner&, thaw::HtmlPart& page) {
    for (const std::int64_t classes : {2, 40}) {
      std::vector<std::string> names;
      for (std::int64_t i = 0; i < classes; ++i) names.push_back("a class with a name " + std::to_string(i));
      const at::Tensor actual = at::arange(20 * classes, at::kLong).remainder(classes),
                       predicted = (actual + at::arange(20 * classes, at::kLong).remainder(7).lt(3)).remainder(classes);
      add_to(page, thaw::ClassResults{.matrix = thaw::ConfusionMatrix(predicted, actual, {.classes = names})});
    }
  };
  thaw::Learner learner(bench.net, thaw::LayerGroups::cut_before(bench.net, {"body", "head"}), thaw::cross_entropy,
                        {.train = bench.data(8),
                         .valid = bench.data(16),
                         .metrics = {thaw::accuracy(), thaw::top_k(2)},
                         .callbacks = {report}});
  (void)learner.find_lr({.steps = 60});
  learner.fit({.name = "head alone, the norm layers of the body too",
               .freeze = thaw::FreezeTo{-1},
               .lr = 1e-2,
               .norm = {.frozen = thaw::Norm::train}});
  learner.unfreeze();
  (void)thaw::find_group_lrs(learner, {.steps = 40});
  learner.fit({.name = "all at one rate", .lr = 1e-3});
  learner.fit({{.name = "gradual", .epochs = 3, .freeze = thaw::GradualUnfreeze{.every = thaw::Epochs{1}}, .lr = 1e-3},
               {.name = "the last", .freeze = thaw::Unfrozen{}, .lr = thaw::DiscriminativeLR::slice(1e-5, 1e-3)}});
  return thaw::test::text_of(path);
}

}  // namespace

TEST_CASE("in a browser, wide or on a phone, light or dark: nothing collides, leaves the page or is too pale to read") {
  const thaw::test::Folder folder;
  const std::string page = crowded_page(folder / "run.html");
  for (const int width : {390, 800})
    for (const bool dark : {false, true}) {
      const auto said = thaw::test::audited(page, {.width = width, .dark = dark});
      if (!said) SKIP("there is no Chromium here, or it cannot run");
      CAPTURE(width, dark);
      CHECK(*said == "group stem: 1 color\ngroup body: 1 color\ngroup head: 1 color");
    }
}

TEST_CASE("the audit finds what is wrong with a page") {
  const auto said = thaw::test::audited(
      "<html><body style=\"margin:0\"><p style=\"margin:0;color:#999\">pale</p><p style=\"width:500px\">wide</p>"
      "<p style=\"margin:0;position:absolute;top:0\">upon it</p></body></html>",
      {.width = 390});
  if (!said) SKIP("there is no Chromium here, or it cannot run");
  for (const char* fault : {"contrast 2.85: pale", "the page is 500 wide", "overlap: upon it / pale"})
    CHECK(said->find(fault) != std::string::npos);
}
