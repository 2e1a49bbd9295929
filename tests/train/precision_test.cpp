// SPDX-License-Identifier: BSD-3-Clause
// Layout and precision of a Learner's forward pass.

#include <thaw/train/detail/compute_mode.hpp>
#include <thaw/train/precision.hpp>

#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/functional.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/pooling.h>

#include <ATen/ops/allclose.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cmath>
#include <thaw/data/in_memory.hpp>
#include <thaw/train/learner.hpp>
#include <thaw/train/loss.hpp>
#include <thaw/train/metric.hpp>

#include "support/nets.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using Catch::Matchers::WithinRel;
using thaw::Layout;
using thaw::Precision;

namespace {

bool is_channels_last(const at::Tensor& tensor) {
  return tensor.is_contiguous(at::MemoryFormat::ChannelsLast);
}

/// Convolutions and a head on what `to_rows` makes of their output, which remembers how its input lay in memory.
struct Precise {
  explicit Precise(thaw::LearnerOptions options = {}, at::Tensor (*to_rows)(const at::Tensor&) = nullptr) {
    at::manual_seed(3);
    const auto rows = [this, to_rows](const at::Tensor& x) {
      last_input_was_channels_last = is_channels_last(x);
      return to_rows ? to_rows(x) : x.mean({2, 3});
    };
    const std::int64_t features = to_rows ? 8 * 6 * 6 : 8;
    net = torch::nn::Sequential(torch::nn::Conv2d(3, 6, 3), torch::nn::BatchNorm2d(6), torch::nn::ReLU(),
                                torch::nn::Conv2d(torch::nn::Conv2dOptions(6, 8, 3).padding(1)),
                                torch::nn::Functional(rows), torch::nn::Linear(features, 3));
    const at::Tensor target = at::randint(3, {24}, at::kLong);
    const at::Tensor input = at::randn({24, 3, 8, 8}) + target.view({-1, 1, 1, 1});
    options.train = thaw::InMemory({.input = input, .target = target, .batch_size = 8});
    options.valid = options.train;
    options.metrics = {thaw::accuracy()};
    before = thaw::test::state_of(*net);
    learner = std::make_unique<thaw::Learner>(net, thaw::LayerGroups::cut_at(net, {3}), thaw::cross_entropy,
                                              std::move(options));
  }

  [[nodiscard]] at::Tensor weight(std::size_t i) const { return net->ptr(i)->named_parameters()["weight"]; }

  torch::nn::Sequential net{nullptr};
  std::map<std::string, at::Tensor> before;
  std::unique_ptr<thaw::Learner> learner;
  bool last_input_was_channels_last = false;
};

/// A head that only training has, as Inception's, which wants channels first.
struct AuxiliaryImpl : torch::nn::Module {
  at::Tensor forward(const at::Tensor& x) {
    if (is_training()) (void)x.view({x.size(0), -1});
    return x.mean({2, 3});
  }
};
TORCH_MODULE(Auxiliary);

const thaw::Stage all{.epochs = 3, .freeze = thaw::Unfrozen{}, .lr = 1e-2};
const thaw::Stage head{.epochs = 3, .freeze = thaw::FreezeTo{-1}, .lr = 1e-2};

at::Tensor by_view(const at::Tensor& x) {
  return x.view({x.size(0), -1});
}

}  // namespace

TEST_CASE("on a CPU, convolutions run channels-last, to the same end but for rounding") {
  Precise automatic, plain({.layout = Layout::contiguous});
  CHECK(automatic.learner->layout() == Layout::automatic);
  const double loss = automatic.learner->fit(all).valid->loss, expected = plain.learner->fit(all).valid->loss;
  CHECK(automatic.learner->layout() == Layout::channels_last);
  CHECK(automatic.last_input_was_channels_last);
  CHECK(is_channels_last(automatic.weight(3)));
  CHECK(plain.learner->layout() == Layout::contiguous);
  CHECK_FALSE(plain.last_input_was_channels_last);
  CHECK_FALSE(is_channels_last(plain.weight(3)));
  CHECK_THAT(loss, WithinRel(expected, 1e-4));
  CHECK(at::allclose(automatic.weight(3), plain.weight(3), 1e-3, 1e-5));
}

TEST_CASE("laying out a network changes no number of it, and no tensor's identity") {
  Precise setup({.layout = Layout::channels_last});
  const at::Tensor same = setup.weight(0);
  (void)setup.learner->find_lr({.steps = 3});
  CHECK(is_channels_last(setup.weight(0)));
  CHECK(setup.weight(0).is_same(same));
  CHECK(thaw::test::same_state(setup.before, *setup.net));
}

TEST_CASE("a network that cannot run channels-last goes on as it is, unless that was asked for") {
  Precise viewing({}, by_view);
  viewing.learner->fit(all);
  CHECK(viewing.learner->layout() == Layout::contiguous);
  CHECK(viewing.weight(0).is_contiguous());

  Precise asked({.layout = Layout::channels_last}, by_view);
  CHECK_THROWS_AS(asked.learner->fit(all), c10::Error);
  CHECK(thaw::test::same_state(asked.before, *asked.net));

  // One that reads memory as it lies gives another output, and is left alone too.
  Precise reading({}, [](const at::Tensor& x) {
    return at::from_blob(x.data_ptr(), {x.size(0), x[0].numel()}, x.options()).clone();
  });
  const c10::NoGradGuard no_grad;
  (void)reading.learner->describe({all});
  CHECK(reading.learner->layout() == Layout::contiguous);
  CHECK(reading.weight(0).is_contiguous());
}

TEST_CASE("what only training shows, and a network of just so many samples, are found out") {
  Precise baked({}, [](const at::Tensor& x) { return x.reshape({8, -1}); });
  baked.learner->fit(all);
  CHECK(baked.learner->layout() == Layout::contiguous);

  torch::nn::Sequential net(torch::nn::Conv2d(3, 4, 3), torch::nn::BatchNorm2d(4), Auxiliary(),
                            torch::nn::Linear(4, 3));
  thaw::Learner learner{net, thaw::LayerGroups::cut_at(net, {3}), thaw::cross_entropy,
                        thaw::LearnerOptions{.train = thaw::InMemory({.input = at::randn({6, 3, 5, 5}),
                                                                      .target = at::randint(3, {6}, at::kLong)})}};
  const auto before = thaw::test::state_of(*net);
  (void)learner.describe({all});
  CHECK(thaw::test::same_state(before, *net));
  learner.fit(all);
  CHECK(learner.layout() == Layout::contiguous);
}

TEST_CASE("a weight that shares its memory with another tensor keeps it") {
  Precise setup({.layout = Layout::channels_last});
  const at::Tensor alias = setup.weight(0).detach();
  setup.learner->fit(all);
  CHECK(alias.data_ptr() == setup.weight(0).data_ptr());
  CHECK(is_channels_last(setup.weight(3)));
}

TEST_CASE("a network without convolutions is not tried") {
  thaw::test::TinyNet net;
  thaw::Learner learner{net, thaw::LayerGroups::cut_before(net, {"head"}), thaw::cross_entropy,
                        thaw::LearnerOptions{.train = thaw::InMemory({.input = at::randn({6, 4}),
                                                                      .target = at::randint(3, {6}, at::kLong)})}};
  learner.fit({});
  CHECK(learner.layout() == Layout::contiguous);
}

TEST_CASE("features that are kept are the uncached ones bit for bit, channels-last too") {
  for (const Layout layout : {Layout::contiguous, Layout::channels_last}) {
    Precise plain({.layout = layout}), cached({.layout = layout});
    thaw::Stage stage = head;
    const thaw::EpochRecord a = plain.learner->fit(stage);
    stage.cache = thaw::Cache::memory;
    const thaw::EpochRecord b = cached.learner->fit(stage);
    CHECK_THAT(cached.learner->history().stages[0].frozen_part, ContainsSubstring("kept"));
    CHECK(b.train_loss == a.train_loss);
    CHECK(b.valid->loss == a.valid->loss);
    CHECK(at::equal(cached.weight(3), plain.weight(3)));
    CHECK(at::equal(cached.weight(5), plain.weight(5)));
  }
}

TEST_CASE("Autocast computes in its type while it lives, and puts back what was") {
  const at::Tensor a = at::randn({4, 4}), b = at::randn({4, 4});
  {
    const thaw::Autocast half{at::kCPU, at::kHalf};
    CHECK(at::matmul(a, b).scalar_type() == at::kHalf);
    {
      const thaw::Autocast bfloat16{at::kCPU, at::kBFloat16};
      CHECK(at::matmul(a, b).scalar_type() == at::kBFloat16);
    }
    CHECK(at::matmul(a, b).scalar_type() == at::kHalf);
  }
  CHECK(at::matmul(a, b).scalar_type() == at::kFloat);
  CHECK_FALSE(at::autocast::is_autocast_enabled(at::kCPU));
}

TEST_CASE("a precision that this CPU would be slow in is refused at once") {
  bool all_fast = true;
  for (const Precision precision : {Precision::bfloat16, Precision::float16}) {
    if (thaw::cpu_computes_in(precision)) continue;
    all_fast = false;
    CHECK_THROWS_MATCHES(
        Precise({.precision = precision}), thaw::ConfigError,
        MessageMatches(ContainsSubstring("this CPU has neither") && ContainsSubstring("Precision::full")));
  }
  if (all_fast) SKIP("this CPU computes in all of them");
}

TEST_CASE("a CPU that computes in a precision trains in it") {
  bool none = true;
  for (const Precision precision : {Precision::bfloat16, Precision::float16}) {
    CAPTURE(static_cast<int>(precision));
    if (!thaw::cpu_computes_in(precision)) continue;
    none = false;
    Precise full, low({.precision = precision});
    const thaw::EpochRecord expected = full.learner->fit(all), record = low.learner->fit(all);
    CHECK(record.train_loss != expected.train_loss);
    CHECK_THAT(record.train_loss, WithinRel(expected.train_loss, 0.05));
    CHECK(low.weight(0).scalar_type() == at::kFloat);
    const at::Tensor output = low.learner->predict(at::randn({2, 3, 8, 8}));
    CHECK(output.scalar_type() == at::kFloat);
    CHECK(output.equal(output.to(at::kBFloat16).to(at::kFloat)) == (precision == Precision::bfloat16));
  }
  if (none) SKIP("this CPU has neither AVX512-BF16 nor AVX512-FP16");
}

TEST_CASE("in a precision, parts give what the whole gives, and the outside sees floats") {
  Precise setup;
  for (const Precision precision : {Precision::bfloat16, Precision::float16}) {
    const auto mode = std::make_shared<thaw::detail::ComputeMode>();
    mode->precision = precision;
    const thaw::detail::Task task =
        thaw::detail::in_mode(thaw::detail::make_task(setup.net, thaw::cross_entropy), mode);
    setup.net->eval();
    const c10::NoGradGuard no_grad;
    const at::Tensor x = at::randn({2, 3, 8, 8});
    const at::Tensor whole = task.forward(x), parts = thaw::FrozenSplit{.suffix = task.parts()}.output(x);
    CHECK(whole.scalar_type() == at::kFloat);
    CHECK(at::equal(parts, whole));
    CHECK_FALSE(at::equal(whole, setup.net->forward(x)));
    CHECK(at::allclose(whole, setup.net->forward(x), 0.05, 0.05));
    CHECK_THROWS(task.forward(at::randn({2, 5, 8, 8})));
    CHECK_FALSE(at::autocast::is_autocast_enabled(at::kCPU));
  }
}

TEST_CASE("at float16, find_lr tries a rate again while the loss's scale falls to where gradients are finite") {
  if (!thaw::cpu_computes_in(Precision::float16)) SKIP("this CPU has neither AVX512-FP16 nor AMX-FP16");
  struct Larger {
    void on_loss_ready(const thaw::LossReady& event) const { event.loss = event.loss * 1e4; }
  };
  Precise setup({.precision = Precision::float16});
  const thaw::LRCurve curve = setup.learner->find_lr({.steps = 4, .stop_early = false}, Larger{});
  REQUIRE(curve.loss.size() == 4);
  for (const double loss : curve.loss) CHECK(std::isfinite(loss));
  CHECK(thaw::test::same_state(setup.before, *setup.net));
}

TEST_CASE("at float16, gradients that are finite at no scale end the fit with an error, and no weight has moved") {
  if (!thaw::cpu_computes_in(Precision::float16)) SKIP("this CPU has neither AVX512-FP16 nor AMX-FP16");
  struct Endless {
    void on_loss_ready(const thaw::LossReady& event) const { event.loss = event.loss * 1e30; }
  };
  Precise setup({.precision = Precision::float16});
  CHECK_THROWS_MATCHES(setup.learner->fit({.epochs = 20, .freeze = thaw::Unfrozen{}, .lr = 1e-2}, Endless{}),
                       thaw::DataError,
                       MessageMatches(ContainsSubstring("gradients are not finite, however the loss is scaled") &&
                                      ContainsSubstring("train at Precision::bfloat16 or ::full")));
  for (const std::size_t i : {0, 3, 5}) CHECK(setup.weight(i).equal(setup.before.at(std::to_string(i) + ".weight")));
}
