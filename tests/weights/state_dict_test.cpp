// SPDX-License-Identifier: BSD-3-Clause
#include <ATen/ops/zeros.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <thaw/weights/state_dict.hpp>

#include "files.hpp"

using Catch::Matchers::ContainsSubstring;

TEST_CASE("A StateDict keeps the order in which tensors came") {
  thaw::StateDict state;
  CHECK(state.empty());
  state.insert("b", at::zeros({2}));
  state.insert("a", at::zeros({3}));
  CHECK(state.names() == std::vector<std::string>{"b", "a"});
  CHECK(state.size() == 2);
  CHECK(state.begin()->first == "b");
}

TEST_CASE("A StateDict finds tensors by name") {
  thaw::StateDict state;
  const at::Tensor tensor = at::zeros({2});
  state.insert("conv.weight", tensor);
  CHECK(state.contains("conv.weight"));
  REQUIRE(state.find("conv.weight") != nullptr);
  CHECK(state.find("conv.weight")->is_same(tensor));
  CHECK(state.find("conv.bias") == nullptr);
  CHECK(state.at("conv.weight").is_same(tensor));
}

TEST_CASE("A StateDict says which name is nearest to one that it lacks") {
  thaw::StateDict state;
  state.insert("conv.weight", at::zeros({2}));
  const auto ask = [&] { (void)state.at("conv.weigth"); };
  CHECK_THAT(thaw::test::complaint<thaw::ConfigError>(ask), ContainsSubstring("did you mean 'conv.weight'?"));
}

TEST_CASE("A StateDict takes no name twice") {
  thaw::StateDict state;
  state.insert("a", at::zeros({2}));
  CHECK_THROWS_AS(state.insert("a", at::zeros({3})), thaw::ConfigError);
  CHECK(state.size() == 1);
  CHECK(state.at("a").size(0) == 2);
}
