// SPDX-License-Identifier: BSD-3-Clause
// AdamW, Adam and SGD by fused kernels: what LibTorch's own give, by other means.

#include <thaw/optim/detail/fused.hpp>

#include <ATen/ops/complex.h>
#include <ATen/ops/full.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <torch/serialize.h>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <memory>
#include <random>
#include <sstream>
#include <thaw/optim/adam.hpp>
#include <thaw/optim/adamw.hpp>
#include <thaw/optim/sgd.hpp>

#include "support/nets.hpp"

namespace {

std::mt19937 rng(17);
std::int64_t any(std::int64_t from, std::int64_t to) {
  return std::uniform_int_distribution(from, to)(rng);
}
bool coin() {
  return any(0, 1) == 1;
}

struct ForAdamW {
  using Ours = thaw::AdamW;
  using Theirs = torch::optim::AdamW;
  static torch::optim::AdamWOptions options() {
    return torch::optim::AdamWOptions(1e-2).betas({0.8, 0.9}).amsgrad(coin()).weight_decay(coin() ? 0.1 : 0);
  }
};
struct ForAdam {
  using Ours = thaw::Adam;
  using Theirs = torch::optim::Adam;
  static torch::optim::AdamOptions options() {
    return torch::optim::AdamOptions(1e-2).betas({0.8, 0.9}).amsgrad(coin()).weight_decay(coin() ? 0.1 : 0);
  }
};
struct ForSGD {
  using Ours = thaw::SGD;
  using Theirs = torch::optim::SGD;
  static torch::optim::SGDOptions options() {
    torch::optim::SGDOptions result(1e-2);
    result.weight_decay(coin() ? 0.1 : 0).momentum(coin() ? 0.9 : 0);
    if (result.momentum() > 0 && coin()) return result.nesterov(true);
    return result.dampening(coin() ? 0.3 : 0);
  }
};

/// Two optimizers over equal parameters, which get equal gradients.
template <class For>
struct Pair {
  explicit Pair(at::ScalarType dtype = at::kDouble) {
    const auto options = For::options();
    for (std::int64_t i = any(1, 6); i > 0; --i) {
      std::vector<std::int64_t> sizes;
      for (std::int64_t d = any(0, 4); d > 0; --d) sizes.push_back(any(1, 5));
      a.push_back(at::randn(sizes, dtype).set_requires_grad(true));
      b.push_back(a.back().detach().clone().set_requires_grad(true));
    }
    ours = std::make_unique<typename For::Ours>(a, options);
    theirs = std::make_unique<typename For::Theirs>(b, options);
  }

  /// Some have no gradient, as if frozen.
  void step(bool all = false) {
    for (std::size_t i = 0; i < a.size(); ++i) {
      const bool frozen = !all && any(0, 3) == 0;
      a[i].mutable_grad() = frozen ? at::Tensor() : at::randn_like(a[i]);
      b[i].mutable_grad() = frozen ? at::Tensor() : a[i].grad().clone();
    }
    ours->step();
    theirs->step();
  }
  void check(double relative = 1e-12, double absolute = 1e-14) const {
    for (std::size_t i = 0; i < a.size(); ++i) {
      CAPTURE(i, a[i].sizes());
      CHECK(at::allclose(a[i], b[i], relative, absolute));
    }
  }

  std::vector<at::Tensor> a, b;
  std::unique_ptr<torch::optim::Optimizer> ours, theirs;
};

void copy_state(torch::optim::Optimizer& from, torch::optim::Optimizer& to) {
  std::stringstream bytes;
  torch::serialize::OutputArchive out;
  from.save(out);
  out.save_to(bytes);
  torch::serialize::InputArchive in;
  in.load_from(bytes);
  to.load(in);
}

}  // namespace

TEMPLATE_TEST_CASE("fused steps are LibTorch's, over random parameters, options and freezing", "", ForAdamW, ForAdam,
                   ForSGD) {
  at::manual_seed(1);
  for (int round = 0; round < 40; ++round) {
    CAPTURE(round);
    Pair<TestType> pair;
    REQUIRE(thaw::detail::can_fuse(*pair.ours));
    for (int step = 0; step < 30; ++step) pair.step();
    pair.check();
  }
  Pair<TestType> single(at::kFloat);
  for (int step = 0; step < 10; ++step) single.step();
  single.check(1e-6, 1e-6);
}

TEMPLATE_TEST_CASE("a state saved by one loads in the other, both ways", "", ForAdamW, ForAdam, ForSGD) {
  at::manual_seed(2);
  for (int round = 0; round < 10; ++round) {
    Pair<TestType> pair;
    for (int step = 0; step < 5; ++step) pair.step(true);
    {  // states change places
      const c10::NoGradGuard no_grad;
      std::stringstream bytes;
      torch::serialize::OutputArchive out;
      pair.ours->save(out);
      out.save_to(bytes);
      copy_state(*pair.theirs, *pair.ours);
      torch::serialize::InputArchive in;
      in.load_from(bytes);
      pair.theirs->load(in);
    }
    for (int step = 0; step < 5; ++step) pair.step();
    pair.check();
  }
}

TEMPLATE_TEST_CASE("parameters, gradients and states of any memory layout are matched number for number", "", ForAdamW,
                   ForAdam, ForSGD) {
  at::manual_seed(3);
  for (int round = 0; round < 8; ++round) {
    Pair<TestType> pair;
    const auto relayout = [&](at::MemoryFormat format) {
      for (at::Tensor& p : pair.a)
        if (p.dim() == 4) p.set_data(p.detach().contiguous(format));
    };
    pair.a.insert(pair.a.begin(), at::randn({3, 4, 5, 6}, at::kDouble).set_requires_grad(true));
    pair.b.insert(pair.b.begin(), pair.a[0].detach().clone().set_requires_grad(true));
    const auto options = TestType::options();
    pair.ours = std::make_unique<typename TestType::Ours>(pair.a, options);
    pair.theirs = std::make_unique<typename TestType::Theirs>(pair.b, options);
    pair.step(true);  // states are contiguous,
    relayout(at::MemoryFormat::ChannelsLast);
    REQUIRE(pair.a[0].strides() != pair.b[0].strides());
    for (int step = 0; step < 3; ++step) {  // and so are gradients
      for (std::size_t i = 0; i < pair.a.size(); ++i) {
        pair.b[i].mutable_grad() = at::randn_like(pair.b[i]);
        pair.a[i].mutable_grad() = pair.b[i].grad().clone();
      }
      pair.ours->step();
      pair.theirs->step();
    }
    pair.check();
  }
}

TEST_CASE("a state of another type is converted; one of another shape is refused") {
  at::Tensor w = at::randn({3, 4}).set_requires_grad(true);
  thaw::AdamW optimizer({w}, torch::optim::AdamWOptions(0.1));
  w.mutable_grad() = at::randn({3, 4});
  optimizer.step();
  w.mutable_grad() = at::Tensor();
  w.set_data(w.detach().to(at::kDouble));
  w.mutable_grad() = at::randn({3, 4}, at::kDouble);
  optimizer.step();
  auto& state = static_cast<torch::optim::AdamWParamState&>(*optimizer.state().at(w.unsafeGetTensorImpl()));
  CHECK(state.exp_avg().scalar_type() == at::kDouble);
  state.exp_avg(at::zeros({2}));
  CHECK_THROWS_AS(optimizer.step(), thaw::ConfigError);
}

TEST_CASE("what has no fused kernel goes LibTorch's own way") {
  at::manual_seed(4);
  const auto options = torch::optim::SGDOptions(0.1).momentum(0.9);
  SECTION("complex numbers") {
    at::Tensor a = at::complex(at::randn({4}), at::randn({4})).set_requires_grad(true);
    at::Tensor b = a.detach().clone().set_requires_grad(true);
    thaw::SGD ours({a}, options);
    torch::optim::SGD theirs({b}, options);
    for (int step = 0; step < 3; ++step) {
      a.mutable_grad() = at::complex(at::randn({4}), at::randn({4}));
      b.mutable_grad() = a.grad().clone();
      CHECK_FALSE(thaw::detail::can_fuse(ours));
      ours.step();
      theirs.step();
    }
    CHECK(a.equal(b));
  }
  SECTION("half precision on the CPU, where the kernels would round the rate") {
    at::Tensor a = at::randn({4}).to(at::kBFloat16).set_requires_grad(true);
    a.mutable_grad() = at::randn({4}).to(at::kBFloat16);
    thaw::SGD ours({a}, options);
    CHECK_FALSE(thaw::detail::can_fuse(ours));
  }
  SECTION("a gradient that only the closure makes") {
    at::Tensor a = at::complex(at::randn({4}), at::randn({4})).set_requires_grad(true);
    thaw::Adam ours({a}, torch::optim::AdamOptions(0.1));
    (void)ours.step([&] { return a.mutable_grad() = at::complex(at::randn({4}), at::randn({4})); });
    CHECK(ours.state().size() == 1);
  }
  SECTION("sparse gradients, next to dense ones") {
    std::vector<at::Tensor> a{at::randn({5, 2}).set_requires_grad(true), at::randn({3}).set_requires_grad(true)};
    std::vector<at::Tensor> b{a[0].detach().clone().set_requires_grad(true),
                              a[1].detach().clone().set_requires_grad(true)};
    thaw::SGD ours(a, torch::optim::SGDOptions(0.1));
    torch::optim::SGD theirs(b, torch::optim::SGDOptions(0.1));
    for (int step = 0; step < 3; ++step) {
      a[0].mutable_grad() = at::randn({5, 2}).to_sparse(1);
      a[1].mutable_grad() = at::randn({3});
      for (int i : {0, 1}) b[i].mutable_grad() = a[i].grad().clone();
      CHECK_FALSE(thaw::detail::can_fuse(ours));
      ours.step();
      theirs.step();
    }
    CHECK((a[0].equal(b[0]) && a[1].equal(b[1])));
  }
}

TEMPLATE_TEST_CASE("a step runs the closure with gradients, and autograd hears of what it changes", "", ForAdamW,
                   ForAdam, ForSGD) {
  at::Tensor w = at::randn({3}).set_requires_grad(true);
  typename TestType::Ours optimizer({w}, TestType::options());
  const at::Tensor old = (w * w).sum();
  const at::Tensor loss = optimizer.step([&] {
    const c10::AutoGradMode must_not_matter(true);
    at::Tensor value = (w * 2).sum();
    value.backward();
    return value;
  });
  CHECK(loss.defined());
  CHECK_THROWS_AS(old.backward(), c10::Error);  // w is not what it was
}

TEST_CASE("Adam's and SGD's weight decay leaves biases and norms alone; SGD's is decoupled unless told otherwise") {
  thaw::test::TinyNet net;
  const auto groups = thaw::LayerGroups::cut_before(net, {"head"});
  const auto zero_gradients = [&] {
    for (at::Tensor parameter : net->parameters()) parameter.mutable_grad() = at::zeros_like(parameter);
  };
  const auto before = thaw::test::state_of(*net);
  zero_gradients();
  thaw::Adam adam(groups, torch::optim::AdamOptions(1e-3).weight_decay(0.1));
  adam.step();
  CHECK(at::equal(net->head->bias, before.at("head.bias")));
  CHECK_FALSE(at::equal(net->head->weight, before.at("head.weight")));

  for (const auto& [decay, factor] :
       {std::pair(thaw::Decay::decoupled, 1 - 0.1 * 0.01), std::pair(thaw::Decay::l2, 1 - 0.1 * 0.01)}) {
    const auto start = thaw::test::state_of(*net);
    thaw::SGD sgd(groups, torch::optim::SGDOptions(0.1).momentum(0.9).weight_decay(0.01), decay);
    zero_gradients();
    sgd.step();
    CHECK(at::allclose(net->head->weight, start.at("head.weight") * factor, 1e-6, 0));
    CHECK(at::equal(net->head->bias, start.at("head.bias")));
    // The second step tells them apart: decay that joined the gradient has momentum.
    const auto middle = thaw::test::state_of(*net);
    zero_gradients();
    sgd.step();
    CHECK(at::allclose(net->head->weight, middle.at("head.weight") * factor, 1e-6, 0) ==
          (decay == thaw::Decay::decoupled));
    CHECK(static_cast<torch::optim::SGDOptions&>(sgd.param_groups()[0].options()).weight_decay() == 0.01);
  }
}

TEMPLATE_TEST_CASE("a step that the device called off has never been", "", ForAdamW, ForAdam, ForSGD) {
  at::manual_seed(5);
  for (int round = 0; round < 20; ++round) {
    CAPTURE(round);
    const Pair<TestType> pair;
    const auto options = TestType::options();
    typename TestType::Ours told(pair.a, options), without(pair.b, options);
    REQUIRE(told.revocable(at::kCPU));
    for (int step = 0; step < 8; ++step) {
      const bool overflow = step == 0 ? round % 2 == 0 : step < 7 && coin();
      for (std::size_t i = 0; i < pair.a.size(); ++i) {
        pair.a[i].mutable_grad() = at::randn_like(pair.a[i]);
        pair.b[i].mutable_grad() = pair.a[i].grad().clone();
      }
      told.unless(at::full({1}, overflow ? 1 : 0, at::kFloat));
      told.step();
      told.settle(!overflow);
      if (!overflow) without.step();
      for (std::size_t i = 0; i < pair.a.size(); ++i) CHECK(at::equal(pair.a[i], pair.b[i]));
    }
  }
}

TEST_CASE("so is its decoupled decay; steps that nobody settled are told by no state") {
  at::manual_seed(6);
  thaw::test::TinyNet net(3, /*norm=*/false);
  const thaw::LayerGroups groups = thaw::LayerGroups::per_child(net);
  const auto before = thaw::test::state_of(*net);
  for (const double overflow : {1.0, 0.0}) {
    thaw::SGD optimizer(groups, torch::optim::SGDOptions(0.1).weight_decay(0.5));
    for (at::Tensor& parameter : net->parameters()) parameter.mutable_grad() = at::zeros_like(parameter);
    optimizer.unless(at::full({1}, overflow, at::kFloat));
    optimizer.step();
    CHECK(thaw::test::same_state(before, *net) == (overflow == 1));
  }
  CHECK(at::allclose(net->head->weight, before.at("head.weight") * 0.95));

  at::Tensor weight = at::ones({2}).set_requires_grad(true);
  thaw::Adam optimizer(std::vector<at::Tensor>{weight});
  weight.mutable_grad() = at::ones({2});
  optimizer.unless(at::zeros({1}));
  optimizer.step();
  auto& state = static_cast<torch::optim::AdamParamState&>(*optimizer.state().at(weight.unsafeGetTensorImpl()));
  CHECK(state.step() == 0);
  optimizer.settle(true);
  CHECK(state.step() == 1);
  optimizer.settle(true);  // there is nothing left to settle
  CHECK(state.step() == 1);
  optimizer.step();  // what `unless` said was of one step
  CHECK(state.step() == 2);
  optimizer.unless(at::zeros({1}));
  optimizer.step();
  thaw::forget_state(optimizer);
  optimizer.settle(true);
  CHECK(optimizer.state().empty());
}
