// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/distributed/processes.hpp>

#include <torch/serialize.h>

#include <ATen/ops/allclose.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <c10/util/ScopeExit.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <chrono>
#include <csignal>
#include <thread>

#include "distributed/spawn.hpp"

using Catch::Matchers::ContainsSubstring;
using thaw::distributed::Processes;
using thaw::test::Ended;
using thaw::test::Folder;
using thaw::test::in_processes;

namespace {

std::vector<at::Tensor> trained_in(int size, const Folder& folder) {
  const std::string file = folder / ("weights-" + std::to_string(size));
  for (const Ended& each : in_processes(size, {THAW_OWN_LOOP, file})) {
    INFO(each.said);
    REQUIRE(each.well());
    CHECK_THAT(each.said, ContainsSubstring("of " + std::to_string(size) + ": done"));
    if (size > 1)  // the head alone; then with the middle; then all: 3 x 8 + 3, 8 x 8 + 8 more, 6 x 8 + 8 + 16 more
      CHECK_THAT(each.said, ContainsSubstring("step 0: gradients of 27 numbers\n") &&
                                ContainsSubstring("step 4: gradients of 99 numbers\n") &&
                                ContainsSubstring("step 8: gradients of 171 numbers\n"));
  }
  std::vector<at::Tensor> weights;
  torch::load(weights, file);
  return weights;
}

}  // namespace

TEST_CASE(
    "two, three and four processes on the parts of each batch end as one on the whole: frozen, thawed, one-cycle, "
    "accumulated, clipped") {
  const Folder folder;
  const std::vector<at::Tensor> alone = trained_in(1, folder);
  for (const int size : {2, 3, 4}) {
    const std::vector<at::Tensor> together = trained_in(size, folder);
    REQUIRE(together.size() == alone.size());
    for (std::size_t i = 0; i + 1 < alone.size(); ++i)
      CHECK((together[i] - alone[i]).abs().max().item<double>() < 1e-12);  // in double: sums in another order
    std::vector<std::int64_t> expected;                                    // rank r gave r + 1 times r
    for (std::int64_t rank = 0; rank < size; ++rank)
      expected.insert(expected.end(), static_cast<std::size_t>(rank + 1), rank);
    CHECK(together.back().equal(at::tensor(expected, at::kLong)));
  }
}

TEST_CASE("a sum has the same bits in all processes: short and long ones, of each type, of a view, of nothing") {
  constexpr std::int64_t size = 3;
  const int port = thaw::test::free_port();
  const auto given = [](std::int64_t rank) {
    at::manual_seed(static_cast<std::uint64_t>(rank));
    std::vector<at::Tensor> result{at::full({}, 0.1 * static_cast<double>(rank + 1)), at::empty({0, 3})};
    for (const std::int64_t numel : {5, 1024, 1025, 30'000})  // of double 8 KiB are short
      for (const at::ScalarType type : {at::kDouble, at::kFloat, at::kInt, at::kLong})
        result.push_back((10 * at::randn({numel, 2}, at::kDouble)).to(type).select(1, 1));
    return result;
  };
  std::vector<std::vector<at::Tensor>> all{given(0), given(1), given(2)}, sums = {given(0), given(1), given(2)};
  {
    std::vector<std::jthread> threads;
    for (std::int64_t rank = 0; rank < size; ++rank)
      threads.emplace_back([&, rank] {
        const Processes processes =
            thaw::distributed::init({.rank = rank, .size = size, .address = "127.0.0.1", .port = port});
        for (at::Tensor& each : sums[static_cast<std::size_t>(rank)]) processes.sum(each);
      });
  }
  for (std::size_t i = 0; i < all[0].size(); ++i) {
    CAPTURE(i);
    CHECK(at::allclose(sums[0][i], all[0][i] + all[1][i] + all[2][i], 0, 1e-5));  // of numbers to 50, in float
    CHECK(sums[0][i].scalar_type() == all[0][i].scalar_type());
    CHECK((sums[1][i].equal(sums[0][i]) && sums[2][i].equal(sums[0][i])));
  }
}

TEST_CASE("the real torchrun starts two processes") {
  const Folder folder;
  const std::string file = folder / "weights";
  const std::optional<Ended> ended = thaw::test::by_torchrun(THAW_OWN_LOOP " " + file);
  if (!ended) thaw::test::skip_without("torch");
  INFO(ended->said);
  REQUIRE(ended->well());
  std::vector<at::Tensor> weights;
  torch::load(weights, file);
  const std::vector<at::Tensor> alone = trained_in(1, folder);
  for (std::size_t i = 0; i + 1 < alone.size(); ++i)
    CHECK((weights.at(i) - alone[i]).abs().max().item<double>() < 1e-12);
}

TEST_CASE("where one process dies, every other one ends at once, and says so") {
  const Folder folder;
  const auto begin = std::chrono::steady_clock::now();
  const auto ended = in_processes(3, {THAW_OWN_LOOP, folder / "weights", "die", "1", "3"});
  REQUIRE(ended.size() == 3);
  CHECK(WIFSIGNALED(ended[1].status));
  for (const std::size_t rank : {0U, 2U}) {
    INFO(ended[rank].said);
    CAPTURE(rank, ended[rank].status);
    CHECK(WIFEXITED(ended[rank].status));
    CHECK_FALSE(ended[rank].well());
    CHECK_FALSE(ended[rank].said.empty());
  }
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(55));  // not by the time-out of a minute
  CHECK_FALSE(std::filesystem::exists(folder / "weights"));
}

TEST_CASE("where one process hangs, the others end when the time-out is over") {
  const Folder folder;
  const auto ended = in_processes(2, {THAW_OWN_LOOP, folder / "weights", "hang", "1", "3", "4000"}, 15);
  REQUIRE(ended.size() == 2);
  INFO(ended[0].said);
  CHECK(WIFEXITED(ended[0].status));
  CHECK_FALSE(ended[0].well());
  CHECK_FALSE(ended[1].well());  // it had to be killed
}

TEST_CASE("where a process never comes, the others say so when the time-out is over") {
  const int port = thaw::test::free_port();
  const thaw::distributed::Environment here{.rank = 0, .size = 2, .port = port};
  CHECK_THROWS_WITH(thaw::distributed::init(here, {.timeout = std::chrono::milliseconds(500)}),
                    ContainsSubstring("rank 0 of 2: the processes did not meet at 127.0.0.1:" + std::to_string(port)) &&
                        ContainsSubstring("see that all 2 were started"));
}

TEST_CASE("a peer that is gone does not end this process by SIGPIPE, unless the program wants to hear of it") {
  struct sigaction before{}, after{};
  REQUIRE(::sigaction(SIGPIPE, nullptr, &before) == 0);
  const auto put_back = c10::make_scope_exit([&] { ::sigaction(SIGPIPE, &before, nullptr); });
  const auto after_init = [&](void (*handler)(int)) {
    std::signal(SIGPIPE, handler);
    const thaw::distributed::Environment here{.rank = 0, .size = 2, .port = thaw::test::free_port()};
    CHECK_THROWS_AS(thaw::distributed::init(here, {.timeout = std::chrono::milliseconds(100)}), thaw::ProcessError);
    ::sigaction(SIGPIPE, nullptr, &after);
    return after.sa_handler;
  };
  CHECK(after_init(SIG_DFL) == SIG_IGN);
  void (*const own)(int) = [](int) {};
  CHECK(after_init(own) == own);
}

TEST_CASE("a process that is alone asks nobody") {
  const Processes alone = thaw::distributed::init({});
  CHECK(alone.rank() == 0);
  CHECK(alone.size() == 1);
  CHECK(alone.group() == nullptr);
  at::Tensor values = at::arange(3);
  alone.sum(values);
  CHECK(values.equal(at::arange(3)));
  CHECK(alone.gather(values).is_same(values));
  CHECK(alone.any(true));
  CHECK_FALSE(alone.any(false));
  alone.barrier();
  const auto [batch, weight] = alone.share({.input = at::arange(4), .target = at::arange(4)});
  CHECK(batch.size() == 4);
  CHECK(weight == 1);
  CHECK_THROWS_AS(alone.share({.input = at::arange(0), .target = at::arange(0)}), thaw::DataError);
  CHECK_THROWS_AS(alone.gather(at::full({}, 1)), thaw::DataError);
}
