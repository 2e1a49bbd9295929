// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/data/prefetch.hpp>

#include <ATen/Context.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/rand_like.h>
#include <algorithm>
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <chrono>
#include <stdexcept>
#include <thaw/data/in_memory.hpp>
#include <thread>
#include <vector>

#include "support/samples.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using thaw::DataSource;
using thaw::InMemory;
using thaw::Prefetch;
using thaw::test::all;

static_assert(thaw::IndexedSource<Prefetch<InMemory>>);

namespace {

const at::Tensor rows = at::arange(60).reshape({30, 2}), numbers = at::arange(30);

bool same(const std::vector<thaw::Batch>& a, const std::vector<thaw::Batch>& b) {
  return std::ranges::equal(a, b, [](const thaw::Batch& one, const thaw::Batch& other) {
    return at::equal(one.input, other.input) && at::equal(one.target, other.target);
  });
}

/// Ten batches that count how many were made; the seventh may fail.
struct Counted {
  std::shared_ptr<std::atomic<int>> made = std::make_shared<std::atomic<int>>(0);
  bool fails = false;
  std::shared_ptr<std::thread::id> thread = std::make_shared<std::thread::id>();

  [[nodiscard]] std::int64_t batches() const { return 10; }
  [[nodiscard]] thaw::BatchStream stream(std::int64_t) const {
    return [*this, i = 0]() mutable -> std::optional<thaw::Batch> {
      if (i == 10) return std::nullopt;
      if (fails && i == 6) throw std::runtime_error("a file that cannot be read");
      *thread = std::this_thread::get_id();
      ++*made;
      ++i;
      return thaw::Batch{.input = at::arange(2) + i, .target = at::arange(2)};
    };
  }
};

void wait_until(const std::function<bool()>& condition) {
  for (int i = 0; i < 10000 && !condition(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

}  // namespace

TEST_CASE("prefetched batches are the same in the same order, shuffled and augmented too") {
  const auto augment = [](const at::Tensor& batch, at::Generator random) {
    return batch + at::rand(batch.sizes(), random);
  };
  const InMemory plain({.input = rows, .target = numbers, .batch_size = 4, .shuffle = true, .transform = augment});
  for (const std::int64_t batches : {1, 2, 100}) {
    const Prefetch ahead{plain, {.batches = batches}};
    CHECK(ahead.batches() == plain.batches());
    for (const std::int64_t epoch : {0, 1, 2}) CHECK(same(all(ahead, epoch), all(plain, epoch)));
    CHECK(DataSource(ahead).targets()[0].is_same(numbers));
    CHECK(at::equal((*ahead.in_order(1)()).input, (*plain.in_order(1)()).input));
    CHECK(at::equal((*ahead.with_input(rows + 1).stream(0)()).target, (*plain.stream(0)()).target));
  }
  CHECK_FALSE(same(all(plain, 0), all(plain, 1)));
}

TEST_CASE("another thread makes them, so many ahead and no more") {
  const Counted source;
  const Prefetch ahead{source, {.batches = 3}};
  *source.made = 0;  // one was tried
  auto next = ahead.stream(0);
  wait_until([&] { return *source.made == 4; });  // three are ready, one waits for room
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  CHECK(*source.made == 4);
  CHECK(next());
  wait_until([&] { return *source.made == 5; });
  CHECK(*source.made == 5);
  CHECK(*source.thread != std::this_thread::get_id());
}

TEST_CASE("a pass that is given up ends its thread") {
  const Counted source;
  const Prefetch ahead{source};
  for (int i = 0; i < 50; ++i) {
    auto next = ahead.stream(0);
    if (i % 2 == 0) CHECK(next());
  }
  CHECK(source.made.use_count() == 2);  // the source's and ahead's: no pass lives on
}

TEST_CASE("what the source throws comes where its batch would have come") {
  const Prefetch ahead{Counted{.fails = true}, {.batches = 4}};
  auto next = ahead.stream(0);
  for (int i = 1; i <= 6; ++i) {
    const auto batch = next();
    REQUIRE(batch);
    CHECK(at::equal(batch->input, at::arange(2) + i));
  }
  CHECK_THROWS_WITH(next(), "a file that cannot be read");
  CHECK_FALSE(next());
}

TEST_CASE("the thread is in the reader's grad mode") {
  struct Graded {
    [[nodiscard]] static std::int64_t batches() { return 1; }
    [[nodiscard]] static thaw::BatchStream stream(std::int64_t) {
      return [given = false]() mutable -> std::optional<thaw::Batch> {
        if (std::exchange(given, true)) return std::nullopt;
        return thaw::Batch{.input = at::arange(2) + (at::GradMode::is_enabled() ? 1 : 0), .target = at::arange(2)};
      };
    }
  };
  const Prefetch ahead{Graded{}};
  CHECK(at::equal((*ahead.stream(0)()).input, at::arange(2) + 1));
  const at::NoGradGuard no_grad;
  CHECK(at::equal((*ahead.stream(0)()).input, at::arange(2)));
}

TEST_CASE("a source that could not be repeated beside a model is refused, and so is looking no batch ahead") {
  const auto augment = [](const at::Tensor& batch) { return batch + at::rand_like(batch.to(at::kFloat)); };
  const at::Tensor random = at::globalContext().defaultGenerator(at::kCPU).get_state();
  CHECK_THROWS_MATCHES(Prefetch{InMemory({.input = rows, .target = numbers, .transform = augment})}, thaw::ConfigError,
                       MessageMatches(ContainsSubstring("global random generator") &&
                                      ContainsSubstring("let InMemory's transform take a generator")));
  CHECK(at::equal(at::globalContext().defaultGenerator(at::kCPU).get_state(), random));
  CHECK_THROWS_MATCHES((Prefetch{Counted{}, {.batches = 0}}), thaw::ConfigError,
                       MessageMatches(ContainsSubstring("0 batches ahead")));
}

TEST_CASE("what is a DataSource already can be prefetched too") {
  const DataSource plain = std::vector{thaw::Batch{.input = rows, .target = numbers}};
  const DataSource ahead = Prefetch{plain};
  CHECK(ahead.batches() == 1);
  CHECK_FALSE(ahead.last_batch());
  CHECK(ahead.ordered());
  CHECK(at::equal((*ahead.in_order()()).input, rows));
}
