// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/train/detail/training_cursor.hpp>

#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <functional>

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using thaw::GeneratorState;
using thaw::RunState;
using thaw::StateVisitor;
using thaw::detail::TrainingCursor;

namespace {

TrainingCursor place_read_again(TrainingCursor cursor) {
  RunState state;
  thaw::detail::visit(StateVisitor(state, /*reading=*/false), cursor);
  TrainingCursor result;
  thaw::detail::visit(StateVisitor(state, /*reading=*/true), result);
  return result;
}

}  // namespace

TEST_CASE("a place is at the begin of the first fit until told otherwise") {
  const TrainingCursor cursor;
  CHECK(cursor.fit + cursor.stage + cursor.epoch + cursor.step + cursor.read == 0);
  CHECK(cursor.loss_sum == 0);
  CHECK(cursor.sample_sum == 0);
  CHECK(cursor.seconds == 0);
  CHECK_FALSE(cursor.begun);
  CHECK_FALSE(cursor.in_fit());
  CHECK_FALSE(cursor.in_epoch());
  CHECK(TrainingCursor{.stage = 1}.in_fit());
  CHECK(TrainingCursor{.begun = true}.in_fit());
  CHECK(TrainingCursor{.read = 1}.in_epoch());
  CHECK(TrainingCursor{.losses = {at::zeros({}), at::zeros({})}, .read = 3}.epoch_steps() == 5);
}

TEST_CASE("a place is read as it was written") {
  const TrainingCursor cursor = place_read_again({.fit = 1,
                                                  .stage = 2,
                                                  .epoch = 3,
                                                  .step = 4,
                                                  .begun = true,
                                                  .momentum = 0.5,
                                                  .frozen = {true, false},
                                                  .norm = thaw::hold_everywhere,
                                                  .lr = {1e-3, 0.1},
                                                  .losses = {at::full({}, 1.5), at::full({}, 2.5)},
                                                  .samples = {8, 7},
                                                  .read = 6,
                                                  .loss_sum = 9,
                                                  .sample_sum = 10,
                                                  .seconds = 11});
  CHECK(cursor.fit == 1);
  CHECK(cursor.stage == 2);
  CHECK(cursor.epoch == 3);
  CHECK(cursor.step == 4);
  CHECK(cursor.begun);
  CHECK(cursor.momentum == 0.5);
  CHECK(cursor.frozen == std::vector<bool>{true, false});
  CHECK(cursor.norm.frozen == thaw::hold_everywhere.frozen);
  CHECK(cursor.norm.thawed == thaw::hold_everywhere.thawed);
  CHECK(cursor.lr == std::vector<double>{1e-3, 0.1});
  REQUIRE(cursor.losses.size() == 2);
  CHECK(cursor.losses[1].item<double>() == 2.5);
  CHECK(cursor.samples == std::vector<double>{8, 7});
  CHECK(cursor.read == 6);
  CHECK(cursor.loss_sum == 9);
  CHECK(cursor.sample_sum == 10);
  CHECK(cursor.seconds == 11);
  CHECK(place_read_again({}).losses.empty());
  CHECK(place_read_again({}).momentum == std::nullopt);
}

TEST_CASE("generators are read one by one; those of a device that is not there are left out") {
  const auto bytes = [](int n) { return at::full({4}, n, at::kByte); };
  std::vector<GeneratorState> generators{{at::Device("cuda:99"), bytes(1)}, {at::Device("cpu"), bytes(2)}};
  RunState state;
  thaw::detail::visit_generators(StateVisitor(state, /*reading=*/false), generators);
  generators = {{at::Device("cpu"), bytes(3)}};  // what was there goes
  thaw::detail::visit_generators(StateVisitor(state, /*reading=*/true), generators);
  REQUIRE(generators.size() == 1);
  CHECK(generators[0].device.is_cpu());
  CHECK(generators[0].state.equal(bytes(2)));

  state.erase("cpu");
  thaw::detail::visit_generators(StateVisitor(state, /*reading=*/true), generators);
  CHECK(generators.empty());
}

TEST_CASE("a place that no run can have come to is refused, whatever it is that does not fit") {
  thaw::History history{.steps_done = 5};
  history.epochs.resize(2);
  history.stages.resize(1);
  const at::Tensor loss = at::zeros({});
  const TrainingCursor good{
      .fit = 1, .stage = 0, .epoch = 2, .step = 5, .begun = true, .losses = {loss, loss}, .samples = {8, 8}, .read = 3};
  CHECK_NOTHROW(thaw::detail::check(good, history, 1));
  const auto refused = [&](const std::function<void(TrainingCursor&)>& spoil) {
    TrainingCursor bad = good;
    spoil(bad);
    CHECK_THROWS_MATCHES(thaw::detail::check(bad, history, 1), thaw::FileError,
                         MessageMatches(ContainsSubstring("its place does not fit its history")));
  };
  refused([](TrainingCursor& p) { p.fit = 2; });
  refused([](TrainingCursor& p) { p.fit = 0; });
  refused([](TrainingCursor& p) { p.stage = -1; });
  refused([](TrainingCursor& p) { p.epoch = -1; });
  refused([](TrainingCursor& p) { p.epoch = 3; });
  refused([](TrainingCursor& p) { p.step = -1; });
  refused([](TrainingCursor& p) { p.read = -1; });
  refused([](TrainingCursor& p) { p.read = 4; });
  refused([](TrainingCursor& p) { p.samples = {8}; });
  history.stages.clear();
  refused([](TrainingCursor&) {});
  CHECK_NOTHROW(thaw::detail::check(TrainingCursor{.fit = 1}, history, 1));
}
