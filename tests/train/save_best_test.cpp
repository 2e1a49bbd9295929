// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/train/save_best.hpp>

#include <catch2/catch_test_macros.hpp>
#include <filesystem>

#include "support/bench.hpp"
#include "support/folder.hpp"

using thaw::SaveBest;
using thaw::test::Bench;

namespace {

/// Two good epochs, then rates that ruin all.
const thaw::Stage rise_and_fall{.epochs = 4, .lr = 1.0, .schedule = [](double t) { return t < 0.5 ? 0.05 : 50.0; }};

}  // namespace

TEST_CASE("SaveBest goes back to the best epoch at the stage's end") {
  const thaw::test::Folder folder;
  const auto path = folder / "best.pt";
  Bench bench;
  bench.learner->fit(rise_and_fall, SaveBest{path});
  const auto& epochs = bench.learner->history().epochs;
  REQUIRE(epochs[1].valid->loss < epochs[0].valid->loss);
  REQUIRE(epochs[1].valid->loss < epochs[3].valid->loss);
  CHECK(bench.learner->validate().loss == epochs[1].valid->loss);
  CHECK(std::filesystem::exists(path));
}

TEST_CASE("SaveBest may leave the last weights in place") {
  const thaw::test::Folder folder;
  const auto path = folder / "best.pt";
  Bench bench;
  bench.learner->fit(rise_and_fall, SaveBest{.path = path, .restore = false});
  CHECK(bench.learner->validate().loss == bench.learner->history().epochs[3].valid->loss);
  bench.learner->load(path);
  CHECK(bench.learner->validate().loss == bench.learner->history().epochs[1].valid->loss);
}
