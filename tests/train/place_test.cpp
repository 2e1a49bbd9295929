#include <thaw/train/detail/place.hpp>

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
using thaw::detail::Place;

namespace {

Place place_read_again(Place place) {
  RunState state;
  thaw::detail::visit(StateVisitor(state, /*reading=*/false), place);
  Place result;
  thaw::detail::visit(StateVisitor(state, /*reading=*/true), result);
  return result;
}

}  // namespace

TEST_CASE("a place is at the begin of the first fit until told otherwise") {
  const Place place;
  CHECK(place.fit + place.stage + place.epoch + place.step + place.read == 0);
  CHECK(place.loss_sum == 0);
  CHECK(place.sample_sum == 0);
  CHECK(place.seconds == 0);
  CHECK_FALSE(place.begun);
  CHECK_FALSE(place.in_fit());
  CHECK_FALSE(place.in_epoch());
  CHECK(Place{.stage = 1}.in_fit());
  CHECK(Place{.begun = true}.in_fit());
  CHECK(Place{.read = 1}.in_epoch());
  CHECK(Place{.losses = {at::zeros({}), at::zeros({})}, .read = 3}.epoch_steps() == 5);
}

TEST_CASE("a place is read as it was written") {
  const Place place = place_read_again({.fit = 1,
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
  CHECK(place.fit == 1);
  CHECK(place.stage == 2);
  CHECK(place.epoch == 3);
  CHECK(place.step == 4);
  CHECK(place.begun);
  CHECK(place.momentum == 0.5);
  CHECK(place.frozen == std::vector<bool>{true, false});
  CHECK(place.norm.frozen == thaw::hold_everywhere.frozen);
  CHECK(place.norm.thawed == thaw::hold_everywhere.thawed);
  CHECK(place.lr == std::vector<double>{1e-3, 0.1});
  REQUIRE(place.losses.size() == 2);
  CHECK(place.losses[1].item<double>() == 2.5);
  CHECK(place.samples == std::vector<double>{8, 7});
  CHECK(place.read == 6);
  CHECK(place.loss_sum == 9);
  CHECK(place.sample_sum == 10);
  CHECK(place.seconds == 11);
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
  const Place good{
      .fit = 1, .stage = 0, .epoch = 2, .step = 5, .begun = true, .losses = {loss, loss}, .samples = {8, 8}, .read = 3};
  CHECK_NOTHROW(thaw::detail::check(good, history, 1));
  const auto refused = [&](const std::function<void(Place&)>& spoil) {
    Place bad = good;
    spoil(bad);
    CHECK_THROWS_MATCHES(thaw::detail::check(bad, history, 1), thaw::FileError,
                         MessageMatches(ContainsSubstring("its place does not fit its history")));
  };
  refused([](Place& p) { p.fit = 2; });
  refused([](Place& p) { p.fit = 0; });
  refused([](Place& p) { p.stage = -1; });
  refused([](Place& p) { p.epoch = -1; });
  refused([](Place& p) { p.epoch = 3; });
  refused([](Place& p) { p.step = -1; });
  refused([](Place& p) { p.read = -1; });
  refused([](Place& p) { p.read = 4; });
  refused([](Place& p) { p.samples = {8}; });
  history.stages.clear();
  refused([](Place&) {});
  CHECK_NOTHROW(thaw::detail::check(Place{.fit = 1}, history, 1));
}
