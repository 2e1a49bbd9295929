// SPDX-License-Identifier: BSD-3-Clause
#include "device/accelerator.hpp"

#include <ATen/Context.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/dropout.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/randn_like.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/nn/modules/conv.h>
#include <torch/version.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "device/device.hpp"

#if TORCH_VERSION_MAJOR > 2 || TORCH_VERSION_MINOR >= 13
#include <ATen/DeviceAccelerator.h>
#endif

// What the simulated accelerator promises to the tests of this room. The tests that a GPU would pass too, which is most
// of them, run there: see test_device().

using Catch::Matchers::ContainsSubstring;
using thaw::test::is_simulated;
using thaw::test::near;
using thaw::test::test_device;
namespace accelerator = thaw::test::accelerator;

namespace {

/// The simulated accelerator, which was used rightly.
struct Simulated {
  Simulated() { (void)accelerator::misuse(); }
  ~Simulated() { CHECK(accelerator::misuse().empty()); }
  Simulated(const Simulated&) = delete;
  Simulated& operator=(const Simulated&) = delete;

  c10::impl::VirtualGuardImpl guard = guard_or_skip();
  c10::Stream main = guard.getDefaultStream(test_device());
  c10::Stream side = guard.getStreamFromGlobalPool(test_device());

  /// A copy from pinned memory, on the side stream.
  at::Tensor copied(const at::Tensor& pinned) const {
    const c10::StreamGuard on(side);
    return pinned.to(test_device(), /*non_blocking=*/true);
  }
  /// `waits` goes on behind what `first` does now.
  static void join(c10::Stream first, c10::Stream waits) {
    c10::Event event(first.device_type());
    event.record(first);
    event.block(waits);
  }
  static c10::impl::VirtualGuardImpl guard_or_skip() {
    if (!is_simulated()) SKIP("of the simulated accelerator");
    return test_device().type();
  }
  std::string only_misuse() const {
    const auto all = accelerator::misuse();
    REQUIRE(all.size() == 1);
    return all[0];
  }
};

bool all_nan(const at::Tensor& tensor) {
  return tensor.isnan().all().item<bool>();
}

}  // namespace

TEST_CASE("the device computes what the CPU computes, of views, in place, and of lists") {
  const at::Tensor x = at::randn({3, 4}, at::kDouble), y = x.to(test_device());
  CHECK(near(y + 1, x + 1));
  CHECK(near(y.t().matmul(y), x.t().matmul(x)));
  CHECK(near(at::stack({y[0], y[2]}).sum(1), at::stack({x[0], x[2]}).sum(1)));
  CHECK(near(y.view({4, 3}).slice(0, 1, 3).unsqueeze(0).contiguous(), x.view({4, 3}).slice(0, 1, 3).unsqueeze(0)));
  CHECK(near(y.index_select(0, at::arange(2, y.options().dtype(at::kLong))), x.slice(0, 0, 2)));
  const at::Tensor changed = y.clone();
  changed.select(1, 2).mul_(3).add_(changed[0][1].cpu());
  const at::Tensor expected = x.clone();
  expected.select(1, 2).mul_(3).add_(expected[0][1].clone());
  CHECK(near(changed, expected));
  CHECK(near(y.to(at::kFloat), x.to(at::kFloat)));
  CHECK(near(y.max(), x.max()));
  at::Tensor grown = at::empty({0}, y.options());
  CHECK(near(at::stack_out(grown, {y, y}), at::stack({x, x})));
  CHECK(near(y.clone().resize_({2, 2}), x.view(-1).slice(0, 0, 4).view({2, 2})));
}

TEST_CASE("autograd goes through convolutions and scalars of the CPU") {
  torch::nn::Conv2d convolution(torch::nn::Conv2dOptions(2, 3, 3).padding(1));
  convolution->to(at::kDouble);
  const at::Tensor x = at::randn({4, 2, 5, 5}, at::kDouble), half = at::full({}, 0.5, at::kDouble);
  const auto gradients = [&](const at::Tensor& input) {
    convolution->zero_grad();
    const at::Tensor given = input.detach().requires_grad_();
    (convolution(given) * half).pow(2).mean().backward();
    return std::vector{convolution->weight.grad(), convolution->bias.grad(), given.grad()};
  };
  const auto expected = gradients(x);
  convolution->to(test_device());
  const auto found = gradients(x.to(test_device()));
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(found[i].device() == test_device());
    CHECK(near(found[i], expected[i]));
  }
}

TEST_CASE("tensors of the CPU are refused, but for scalars and indices") {
  if (test_device().is_cpu()) SKIP("no two devices");
  const at::Tensor x = at::randn({3, 4}), y = x.to(test_device());
  CHECK_THROWS_WITH(y + x, ContainsSubstring("Expected all tensors to be on the same device"));
  CHECK_THROWS_WITH(y.matmul(x.t()), ContainsSubstring("same device"));
  CHECK_THROWS(x.clone().add_(y));
  CHECK_THROWS(y.index_select(0, at::arange(2)));
  CHECK_THROWS(at::stack({y, x}));
  CHECK(near(y + x[0][0], x + x[0][0]));
  CHECK(near(y.index({at::arange(2)}), x.index({at::arange(2)})));
}

TEST_CASE("memory of the device is not the host's, and new memory holds NaNs") {
  const Simulated simulated;
  CHECK(all_nan(at::empty({3}, at::TensorOptions(test_device()).dtype(at::kDouble))));
  CHECK(all_nan(at::empty({3}, at::TensorOptions(test_device()).dtype(at::kHalf))));
  const auto address = reinterpret_cast<std::uintptr_t>(at::ones({3}, test_device()).const_data_ptr());
  CHECK(address >> 48 != 0);  // reading there is a fault
}

TEST_CASE("memory in use is counted") {
  const Simulated simulated;
  const auto before = accelerator::memory().now;
  accelerator::reset_peak();
  {
    const at::Tensor x = at::empty({1000}, at::TensorOptions(test_device()).dtype(at::kByte));
    CHECK(accelerator::memory().now == before + 1000);
  }
  CHECK(accelerator::memory().now == before);
  CHECK(accelerator::memory().peak == before + 1000);
#if TORCH_VERSION_MAJOR > 2 || TORCH_VERSION_MINOR >= 13
  CHECK(at::accelerator::getDeviceStats(0).allocated_bytes[0].peak == before + 1000);
  at::accelerator::resetPeakStats(0);
  CHECK(at::accelerator::getDeviceStats(0).allocated_bytes[0].peak == before);
#endif
}

TEST_CASE("what makes the host wait is counted, and refused by NoSync") {
  const Simulated simulated;
  const at::Tensor x = at::ones({4}), y = x.to(test_device()), pinned = x.pin_memory();
  const auto waits = [&](const auto& call) {
    const std::int64_t before = accelerator::syncs();
    call();
    const bool did = accelerator::syncs() > before;
    const accelerator::NoSync refused;
    if (did)
      CHECK_THROWS_WITH(call(), ContainsSubstring("waits for the device"));
    else
      CHECK_NOTHROW(call());
    return did;
  };
  CHECK(waits([&] { (void)y[0].item<float>(); }));
  CHECK(waits([&] { (void)y.cpu(); }));
  CHECK(waits([&] { (void)x.to(test_device()); }));
  CHECK(waits([&] { (void)x.to(test_device(), /*non_blocking=*/true); }));  // not pinned
  CHECK(waits([&] { (void)pinned.to(test_device()); }));
  CHECK(waits([&] { (void)y.nonzero(); }));
  CHECK(waits([&] { (void)y.index({y.gt(0)}); }));
  CHECK(waits([&] { (void)y.index({at::arange(2)}); }));
  CHECK(waits([&] { (void)y.equal(y); }));
  CHECK(waits([&] { simulated.guard.synchronizeStream(simulated.main); }));
  CHECK(waits([&] { simulated.guard.synchronizeDevice(0); }));
  CHECK_FALSE(waits([&] { (void)pinned.to(test_device(), /*non_blocking=*/true); }));
  CHECK_FALSE(waits([&] { (void)y.to(at::kCPU, /*non_blocking=*/true); }));
  CHECK_FALSE(waits([&] { (void)(y.sum() * 2 + x[0]); }));
  CHECK_FALSE(waits([&] { (void)y.index({at::zeros({2}, y.options().dtype(at::kLong))}); }));
  c10::Event event(test_device().type());
  event.record(simulated.main);
  CHECK(
      waits([&] { event.record(simulated.main), (void)y.add(1), event.record(simulated.main), event.synchronize(); }));
  event.record(simulated.main);
  CHECK(event.query());
  CHECK_FALSE(waits([&] { event.synchronize(); }));  // known to be over
}

TEST_CASE("a copy on a side stream is there once it was waited for, with what the source then holds") {
  const Simulated simulated;
  const at::Tensor pinned = at::ones({4}).pin_memory();
  REQUIRE(pinned.is_pinned());
  const at::Tensor x = simulated.copied(pinned);
  {
    const c10::StreamGuard on(simulated.main);
    CHECK(all_nan(x));
    CHECK_THAT(simulated.only_misuse(), ContainsSubstring("without waiting"));
  }
  pinned.fill_(2);
  Simulated::join(simulated.side, simulated.main);
  CHECK(x.cpu().equal(at::full({4}, 2.F)));
  Simulated::join(simulated.main, simulated.side);

  const at::Tensor again = simulated.copied(pinned);
  simulated.guard.synchronizeStream(simulated.side);
  CHECK(again.cpu().equal(pinned));
  x.record_stream(simulated.main), again.record_stream(simulated.main);
}

TEST_CASE("a copy to pinned memory is there once the host has waited") {
  const Simulated simulated;
  const at::Tensor x = at::ones({4}, test_device());
  const at::Tensor copy = x.to(at::kCPU, /*non_blocking=*/true);
  c10::Event event(test_device().type());
  event.record(simulated.main);
  x.add_(1);
  CHECK(all_nan(copy));
  SECTION("for an event") {
    event.synchronize();
  }
  SECTION("for the stream") {
    simulated.guard.synchronizeStream(simulated.main);
  }
  SECTION("by asking until it was there") {
    CHECK_FALSE(event.query());
    CHECK(event.query());
  }
  CHECK(copy.equal(at::ones({4})));
}

TEST_CASE("memory that is freed while another stream uses it is reported, unless that was recorded or waited for") {
  const Simulated simulated;
  const at::Tensor pinned = at::ones({4}).pin_memory();
  const auto use = [&](const auto& before_it_is_freed) {
    at::Tensor x = simulated.copied(pinned);
    Simulated::join(simulated.side, simulated.main);
    x.add_(1);
    before_it_is_freed(x);
    x = at::Tensor();
  };
  use([](const at::Tensor&) {});
  CHECK_THAT(simulated.only_misuse(), ContainsSubstring("record_stream is missing"));
  use([&](const at::Tensor& x) { x.record_stream(simulated.main); });
  use([&](const at::Tensor& x) { simulated.guard.recordDataPtrOnStream(x.storage().data_ptr(), simulated.main); });
  use([&](const at::Tensor&) { Simulated::join(simulated.main, simulated.side); });
  use([&](const at::Tensor&) { simulated.guard.synchronizeStream(simulated.main); });
}

TEST_CASE("memory of the main stream may not be written on a side stream that did not wait") {
  const Simulated simulated;
  const at::Tensor pinned = at::ones({4}).pin_memory(), x = at::ones({4}, test_device());
  const auto write = [&] {
    const c10::StreamGuard on(simulated.side);
    x.copy_(pinned, /*non_blocking=*/true);
  };
  write();
  CHECK_THAT(simulated.only_misuse(), ContainsSubstring("writes to what is in use"));
  Simulated::join(simulated.side, simulated.main);
  x.add_(1);
  Simulated::join(simulated.main, simulated.side);
  write();
  Simulated::join(simulated.side, simulated.main);
}

TEST_CASE("the device draws random numbers from a generator of its own") {
  if (test_device().is_cpu()) SKIP("it is the CPU's");
  const auto draw = [] {
    const at::Tensor x = at::ones({8}, test_device());
    return at::stack({at::rand({8}, test_device()), at::dropout(x, .5, /*train=*/true), at::randn_like(x)}).cpu();
  };
  at::manual_seed(1);
  const at::Tensor host = at::globalContext().defaultGenerator(at::kCPU).get_state();
  const at::Tensor first = draw(), other = draw();
  CHECK_FALSE(first.equal(other));
  CHECK(at::globalContext().defaultGenerator(at::kCPU).get_state().equal(host));
  at::Generator generator = at::globalContext().defaultGenerator(test_device());
  const at::Tensor state = generator.get_state(), third = draw();
  generator.set_state(state);
  CHECK(draw().equal(third));
  const auto draw_from = [](const at::Generator& from) {
    return at::rand({8}, from, at::TensorOptions(test_device()));
  };
  CHECK_THROWS(draw_from(at::globalContext().defaultGenerator(at::kCPU)));
  generator.set_current_seed(7);
  at::Generator other_one = generator.clone();
  CHECK(draw_from(other_one).equal(draw_from(generator)));
}

#if TORCH_VERSION_MAJOR > 2 || TORCH_VERSION_MINOR >= 13

TEST_CASE("a graph does nothing while it is captured, and all of it when it is replayed") {
  const Simulated simulated;
  const at::Tensor pinned = at::ones({2}).pin_memory();
  const at::Tensor x = at::ones({2}, test_device()), total = at::zeros({2}, test_device());
  Simulated::join(simulated.main, simulated.side);
  const at::Tensor random = at::globalContext().defaultGenerator(test_device()).get_state();
  at::accelerator::Graph graph;
  at::Tensor product;
  {
    const c10::StreamGuard on(simulated.side);
    graph.capture_begin();
    CHECK(simulated.guard.getStream(test_device()) == simulated.side);
    x.copy_(pinned, /*non_blocking=*/true);
    product = x * 3 + at::rand({2}, test_device()) / 2;
    total.add_(product);
    CHECK_THROWS_WITH(product.cpu(), ContainsSubstring("not permitted when stream is capturing"));
    CHECK_THROWS_WITH(x.copy_(at::ones({2})), ContainsSubstring("not permitted when stream is capturing"));
    graph.capture_end();
  }
  Simulated::join(simulated.side, simulated.main);
  CHECK(all_nan(product));
  CHECK(total.cpu().equal(at::zeros({2})));
  CHECK(at::globalContext().defaultGenerator(test_device()).get_state().equal(random));
  graph.replay();
  const at::Tensor first = product.cpu();
  CHECK(first.floor().equal(at::full({2}, 3.F)));
  pinned.fill_(2);
  graph.replay();
  CHECK(product.cpu().floor().equal(at::full({2}, 6.F)));
  CHECK_FALSE((product.cpu() - 3).equal(first));  // other random numbers
  CHECK(total.cpu().allclose(first + product.cpu()));
  Simulated::join(simulated.main, simulated.side);
}

TEST_CASE("a graph holds a step of training, backward and all") {
  const Simulated simulated;
  const at::Tensor x = at::randn({8, 3}, at::kDouble), y = x.sum(1, true);
  const auto begin = [&] { return at::zeros({3, 1}, at::kDouble).requires_grad_(); };
  const auto step = [](at::Tensor& weight, const at::Tensor& input, const at::Tensor& target) {
    (input.matmul(weight) - target).pow(2).mean().backward();
    const c10::NoGradGuard no_grad;
    weight.sub_(weight.grad() * 0.1);
    weight.mutable_grad().zero_();
  };
  at::Tensor expected = begin(), weight = begin().detach().to(test_device()).requires_grad_();
  for (int i = 0; i < 4; ++i) step(expected, x, y);

  const at::Tensor input = x.to(test_device()), target = y.to(test_device());
  step(weight, input, target);  // makes the gradient
  Simulated::join(simulated.main, simulated.side);
  at::accelerator::Graph graph;
  {
    const c10::StreamGuard on(simulated.side);
    graph.capture_begin();
    step(weight, input, target);
    graph.capture_end();
  }
  Simulated::join(simulated.side, simulated.main);
  for (int i = 0; i < 3; ++i) graph.replay();
  CHECK(near(weight, expected));
  Simulated::join(simulated.main, simulated.side);
}

TEST_CASE("what a graph reads must not be freed") {
  const Simulated simulated;
  const at::Tensor x = at::ones({2}, test_device());
  at::Tensor pinned = at::ones({2}).pin_memory(), summand = at::ones({2}, test_device());
  Simulated::join(simulated.main, simulated.side);
  at::accelerator::Graph graph;
  {
    const c10::StreamGuard on(simulated.side);
    graph.capture_begin();
    x.copy_(pinned, /*non_blocking=*/true);
    x.add_(summand);
    graph.capture_end();
  }
  Simulated::join(simulated.side, simulated.main);
  SECTION("on the device") {
    summand = at::Tensor();
    CHECK_THROWS_WITH(graph.replay(), ContainsSubstring("memory was freed"));
  }
  SECTION("on the host") {
    pinned = at::Tensor();
    CHECK_THAT(simulated.only_misuse(), ContainsSubstring("pinned memory is freed"));
  }
  graph.reset();
}

TEST_CASE("a graph is not captured on the main stream, and has no work left on others") {
  const Simulated simulated;
  at::accelerator::Graph graph;
  CHECK_THROWS_WITH(graph.capture_begin(), ContainsSubstring("non-default stream"));
  const c10::Stream third = simulated.guard.getStreamFromGlobalPool(test_device());
  const c10::StreamGuard on(simulated.side);
  const auto capture = [&](bool joins) {
    graph.reset();
    graph.capture_begin();
    Simulated::join(simulated.side, third);
    {
      const c10::StreamGuard there(third);
      (void)at::ones({2}, test_device());
    }
    if (joins) Simulated::join(third, simulated.side);
    graph.capture_end();
  };
  CHECK_THROWS_WITH(capture(false), ContainsSubstring("unjoined"));
  CHECK_NOTHROW(capture(true));
}

#endif
