// SPDX-License-Identifier: BSD-3-Clause
// Batches on their way to the device: beside what it computes, and nobody waits for them.
#include <thaw/data/detail/side_copies.hpp>

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <map>
#include <optional>
#include <string>
#include <thaw/data/batch.hpp>

#include "device/accelerator.hpp"
#include "device/device.hpp"

using thaw::test::is_simulated;
using thaw::test::test_device;

TEST_CASE("a batch arrives whole, and nobody waits for it") {
  const bool pinned = GENERATE(false, true);
  const auto host = [&](const at::Tensor& tensor) { return pinned ? tensor.pin_memory() : tensor; };
  const at::Tensor input = host(at::randn({6, 3})), target = host(at::arange(6));
  const std::map<std::string, at::Tensor> named{{"a", input}, {"b", input}};
  std::optional<thaw::Batch> there;
  {
    const thaw::test::accelerator::NoSync nobody_waits;
    there = thaw::Batch{.input = named, .target = target}.to(test_device());
  }
  CHECK(there->input.names() == std::vector<std::string>{"a", "b"});
  CHECK(there->input[0].device() == test_device());
  CHECK((there->input[1] + 1).cpu().equal(input + 1));
  CHECK(there->target[0].cpu().equal(target));
  there.reset();
  CHECK(thaw::test::accelerator::misuse().empty());
}

TEST_CASE("it goes by a stream of its own, which the computing one waits for as it is finished") {
  const std::optional<c10::Stream> stream = thaw::detail::copy_stream(test_device());
  REQUIRE(stream);
  CHECK(stream == thaw::detail::copy_stream(test_device()));
  CHECK(stream != c10::impl::VirtualGuardImpl(test_device().type()).getStream(test_device()));
  CHECK_FALSE(thaw::detail::copy_stream(at::kCPU));

  if (!is_simulated()) SKIP("on a real device a copy that nobody waited for may have arrived");
  const at::Tensor host = at::ones({4}).pin_memory();
  thaw::detail::SideCopies copies(test_device());
  const at::Tensor early = copies(host);
  CHECK((early * 1).cpu().isnan().all().item<bool>());
  CHECK_FALSE(thaw::test::accelerator::misuse().empty());  // that was read too early
  copies.finish();
  CHECK((early * 1).cpu().equal(at::ones({4})));
  CHECK(thaw::test::accelerator::misuse().empty());
}

TEST_CASE("what is there already is not copied") {
  const at::Tensor there = at::ones({2, 2}, test_device()), here = at::ones({2, 2});
  CHECK(thaw::Batch{.input = there, .target = there}.to(test_device()).input[0].is_same(there));
  CHECK(thaw::Batch{.input = here, .target = here}.to(at::kCPU).input[0].is_same(here));
  CHECK(thaw::Batch{.input = there, .target = here}.to(at::kCPU).input[0].cpu().equal(here));
}
