// SPDX-License-Identifier: BSD-3-Clause
// float16 on a device: steps whose gradients overflow have never been, and nobody waits to hear of them.
#include <thaw/train/detail/grad_scaler.hpp>

#include <torch/nn/modules/linear.h>

#include <catch2/catch_test_macros.hpp>
#include <memory>
#include <set>
#include <thaw/data/in_memory.hpp>
#include <thaw/data/prefetch.hpp>
#include <thaw/optim/sgd.hpp>
#include <thaw/schedule/one_cycle.hpp>
#include <thaw/train/learner.hpp>
#include <thaw/train/loss.hpp>

#include "device/accelerator.hpp"
#include "device/device.hpp"
#include "support/nets.hpp"

using thaw::test::test_device;

namespace {

/// Makes the batches of some steps so large that their gradients overflow.
struct Overflows {
  std::set<std::int64_t> at;
  std::int64_t step = 0;
  void on_batch_ready(const thaw::BatchReady& event) {
    if (at.contains(step++)) event.batch.input = event.batch.input.map([](const auto& x) { return x * 1e30; });
  }
};

struct HearsOfGradients {
  void on_gradients_ready(const thaw::GradientsReady&) const {}
};

struct KeepsState {
  std::shared_ptr<std::vector<thaw::RunState>> states = std::make_shared<std::vector<thaw::RunState>>();
  void on_safe_point(const thaw::SafePoint& event) const {
    if (event.after != thaw::SafePoint::After::step) return;
    thaw::RunState state = event.learner.run_state();
    for (auto& [name, tensor] : state) tensor = tensor.clone();
    states->push_back(std::move(state));
  }
};

struct Half {
  explicit Half(bool sgd = false) {
    thaw::seed(4);
    net = thaw::test::TinyNet(3, /*norm=*/false);
    net->to(test_device());
    const at::Tensor target = at::randint(3, {24}, at::kLong), input = at::randn({24, 4}) + target.view({-1, 1});
    thaw::LearnerOptions options{
        .train = thaw::Prefetch{thaw::InMemory({.input = input, .target = target, .batch_size = 4})}};
    options.precision = thaw::Precision::float16;
    if (sgd)
      options.optimizer = [](const thaw::LayerGroups& groups) {
        return std::make_unique<thaw::SGD>(groups, torch::optim::SGDOptions(0.1).momentum(0.9).weight_decay(0.1));
      };
    learner = std::make_unique<thaw::Learner>(net, thaw::LayerGroups::per_child(net), thaw::cross_entropy,
                                              std::move(options));
  }
  [[nodiscard]] std::vector<double> rates() const {
    std::vector<double> result;
    for (const thaw::StepRecord& step : learner->history().steps) result.push_back(step.lr.back());
    return result;
  }

  thaw::test::TinyNet net{nullptr};
  std::unique_ptr<thaw::Learner> learner;
};

const thaw::Stage constant{.epochs = 2, .freeze = thaw::Unfrozen{}, .lr = 1e-2, .schedule = thaw::Constant{}};

}  // namespace

TEST_CASE("a run whose device calls off steps is the one whose host does, bit for bit") {
  for (const bool sgd : {false, true}) {
    CAPTURE(sgd);
    const Overflows some{.at = {0, 3, 4, 11}};
    Half by_device(sgd), by_host(sgd), never(sgd);
    by_device.learner->fit(constant, some);
    by_host.learner->fit(constant, some, HearsOfGradients{});
    never.learner->fit(constant);
    CHECK(thaw::test::same_state(thaw::test::state_of(*by_host.net), *by_device.net));
    CHECK_FALSE(thaw::test::same_state(thaw::test::state_of(*never.net), *by_device.net));
    for (const at::Tensor& parameter : by_device.net->parameters()) CHECK(parameter.isfinite().all().item<bool>());
  }
}

TEST_CASE("nobody waits for the device within an epoch") {
  struct Watch {
    std::shared_ptr<std::vector<std::int64_t>> syncs = std::make_shared<std::vector<std::int64_t>>();
    void on_step_end(const thaw::StepEnd&) const { syncs->push_back(thaw::test::accelerator::syncs()); }
  };
  if (!thaw::test::is_simulated()) SKIP("a real device does not count");
  const Watch watch;
  Half half;
  half.learner->fit({.epochs = 1, .freeze = thaw::Unfrozen{}, .lr = 1e-2}, watch);
  REQUIRE(watch.syncs->size() == 6);
  // It asks for a number that was sent a step ago, behind which a whole step is queued.
  for (std::size_t i = 1; i < 6; ++i) CHECK((*watch.syncs)[i] - (*watch.syncs)[i - 1] <= 1);
}

TEST_CASE("the schedule stands still for steps that overflowed, a step after they did where the device decides") {
  const thaw::Stage stage{.epochs = 2, .freeze = thaw::Unfrozen{}, .lr = 1e-2, .schedule = thaw::OneCycle{}};
  const Overflows some{.at = {2, 6}};
  Half without, by_host, by_device;
  without.learner->fit(stage);
  by_host.learner->fit(stage, some, HearsOfGradients{});
  by_device.learner->fit(stage, some);
  const std::vector<double> planned = without.rates(), told = by_host.rates(), late = by_device.rates();
  const auto expect = [&](const std::vector<std::size_t>& positions) {
    std::vector<double> result;
    for (const std::size_t i : positions) result.push_back(planned.at(i));
    return result;
  };
  CHECK(told == expect({0, 1, 2, 2, 3, 4, 5, 5, 6, 7, 8, 9}));
  CHECK(late == expect({0, 1, 2, 3, 3, 4, 5, 6, 6, 7, 8, 9}));

  by_device.learner->fit(stage);  // a stage begins anew
  const std::vector<double> next = by_device.rates();
  CHECK(std::vector(next.begin() + 12, next.end()) == planned);
}

TEST_CASE("a run that is looked at goes on as ever, and one that is resumed as it would have") {
  const thaw::Stage stage{.epochs = 2, .freeze = thaw::Unfrozen{}, .lr = 1e-2, .schedule = thaw::OneCycle{}};
  const std::set<std::int64_t> bad{1, 2, 7};
  Half whole, looked_at;
  whole.learner->fit(stage, Overflows{.at = bad});
  const KeepsState kept;
  looked_at.learner->fit(stage, Overflows{.at = bad}, kept);
  const auto expected = thaw::test::state_of(*whole.net);
  CHECK(looked_at.rates() == whole.rates());
  CHECK(thaw::test::same_state(expected, *looked_at.net));
  REQUIRE(kept.states->size() == 12);
  for (const std::size_t i : {0U, 1U, 2U, 3U, 6U, 7U, 8U, 10U}) {
    CAPTURE(i);
    Half resumed;
    thaw::RunState state = (*kept.states)[i];
    for (auto& [name, tensor] : state) tensor = tensor.cpu();
    resumed.learner->resume(state);
    resumed.learner->fit(stage, Overflows{.at = bad, .step = static_cast<std::int64_t>(i) + 1});
    CHECK(resumed.rates() == whole.rates());
    CHECK(thaw::test::same_state(expected, *resumed.net));
  }
}
