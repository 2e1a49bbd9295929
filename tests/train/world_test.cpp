// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/train/world.hpp>

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/tensor.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <thaw/core/error.hpp>

using thaw::World;

namespace {

/// Two processes of which the other one failed, and says why; or did nothing.
struct Other final : World::Backend {
  double failed = 0;
  std::string words = {};
  [[nodiscard]] std::int64_t rank() const override { return 0; }
  [[nodiscard]] std::int64_t size() const override { return 2; }
  void begin(const thaw::LayerGroups&, torch::optim::Optimizer&) override {}
  void sum(at::Tensor& values) override {
    if (values.dtype() == at::kDouble) values[-1] += failed;          // how many failed
    if (values.dtype() == at::kLong) values[1] += std::ssize(words);  // how long their texts are
  }
  [[nodiscard]] at::Tensor gather(const at::Tensor& values) override {
    return at::cat({values, at::tensor(std::vector<std::uint8_t>(words.begin(), words.end()))});
  }
  void broadcast(const std::vector<at::Tensor>&, std::int64_t) override {}
  void backward(const at::Tensor&) override {}
  [[nodiscard]] std::unique_ptr<thaw::World::ForwardScope> in_forward(bool) override { return {}; }
  [[nodiscard]] bool norm_sees_all() const override { return false; }
  void step() override {}
  [[nodiscard]] bool shards_optimizer() const override { return false; }
  void keep_own_state() override {}
};

World with_other(double failed = 0, std::string words = "") {
  auto other = std::make_shared<Other>();
  other->failed = failed, other->words = std::move(words);
  return World(other);
}

}  // namespace

TEST_CASE("a process alone is the first of one, and asks nobody") {
  const World alone;
  CHECK(alone.is_single());
  CHECK(alone.is_rank_zero());
  CHECK(alone.size() == 1);
  CHECK(alone.shard().all());
  CHECK(alone.norm_sees_all());
  CHECK(alone.all_reduce({1, 2}) == std::vector<double>{1, 2});
  CHECK(alone.any(true));
  CHECK_FALSE(alone.any(false));
  CHECK(alone.all_gather("here") == std::vector<std::string>{"here"});
  const thaw::RunState state{{"a", at::arange(3)}};
  CHECK(alone.state_of(0, state).at("a").is_same(state.at("a")));
  CHECK_THROWS_AS(alone.together([] { throw thaw::DataError("here", "b", "c"); }), thaw::DataError);
}

TEST_CASE("what fails here is thrown here, what fails elsewhere says where and how") {
  CHECK_NOTHROW(with_other().together([] {}));
  CHECK_THROWS_MATCHES(
      with_other(1, "image 17: is gone").together([] {}), thaw::ProcessError,
      Catch::Matchers::MessageMatches(Catch::Matchers::StartsWith("rank 0 of 2: rank 1 failed: image 17: is gone")));
  CHECK_THROWS_AS(with_other().together([] { throw thaw::DataError("here", "", ""); }), thaw::DataError);
  CHECK_THROWS_AS(with_other(1, "too").together([] { throw 3; }), int);
}

TEST_CASE("every process's text is known by its rank") {
  CHECK(with_other(0, "there").all_gather("") == std::vector<std::string>{"", "there"});
  CHECK(with_other(0, "").all_gather("here") == std::vector<std::string>{"here", ""});
}
