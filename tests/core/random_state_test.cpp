// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/core/random_state.hpp>

#include <ATen/ops/equal.h>
#include <ATen/ops/randn.h>
#include <catch2/catch_test_macros.hpp>
#include <stdexcept>

namespace {

at::Tensor state() {
  return at::globalContext().defaultGenerator(at::kCPU).get_state();
}

}  // namespace

TEST_CASE("the random generator is put back when RandomState goes, so that the next numbers are the same") {
  at::manual_seed(3);
  const at::Tensor expected = at::randn({5});
  at::manual_seed(3);
  {
    const thaw::RandomState random;
    CHECK(at::equal(at::randn({5}), expected));  // while it lives, nothing is different
    at::randn({100});
  }
  CHECK(at::equal(at::randn({5}), expected));
}

TEST_CASE("a new seed does not outlive RandomState, nor does half a pair of normal numbers") {
  at::manual_seed(3);
  at::randn({1});  // LibTorch keeps the second number of a pair for later: that is state, too
  const at::Tensor before = state();
  {
    const thaw::RandomState random;
    at::manual_seed(99);
    at::randn({1});
  }
  CHECK(at::equal(state(), before));
}

TEST_CASE("RandomState nests, and works when an exception ends it") {
  at::manual_seed(3);
  const at::Tensor before = state();
  try {
    const thaw::RandomState outer;
    at::randn({2});
    const at::Tensor between = state();
    {
      const thaw::RandomState inner;
      at::randn({3});
    }
    CHECK(at::equal(state(), between));
    throw std::runtime_error("stop");
  } catch (const std::runtime_error&) {
  }
  CHECK(at::equal(state(), before));
}
