// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/data/ordered_workers.hpp>

#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstdint>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

using thaw::OrderedWorkers;

TEST_CASE("workers' results come in order, each once, whatever their number") {
  for (const int threads : {0, 1, 2, 5}) {
    OrderedWorkers<std::int64_t> workers(
        [](std::int64_t i) {
          std::this_thread::sleep_for(std::chrono::microseconds(i % 3 * 200));
          return i * i;
        },
        3, 40, threads, 4);
    for (std::int64_t i = 3; i < 40; ++i) CHECK(workers.next() == i * i);
    CHECK_FALSE(workers.next().has_value());
    CHECK_FALSE(workers.next().has_value());
  }
}

TEST_CASE("workers never run further ahead than they may, and stop when nobody takes") {
  std::atomic<std::int64_t> begun = 0;
  std::int64_t farthest = 0;
  {
    OrderedWorkers<std::int64_t> workers([&](std::int64_t i) { return ++begun, i; }, 0, 1000, 3, 5);
    for (std::int64_t taken = 0; taken < 50; ++taken) {
      std::this_thread::sleep_for(std::chrono::microseconds(300));
      farthest = std::max(farthest, begun.load() - taken);
      (void)workers.next();
    }
  }
  CHECK(farthest == 5);
  CHECK(begun <= 55);
}

TEST_CASE("what a worker throws comes in its place, and ends the rest") {
  for (const int threads : {0, 1, 3}) {
    OrderedWorkers<int> workers(
        [](std::int64_t i) {
          if (i == 4) throw std::runtime_error("four");
          return static_cast<int>(i);
        },
        0, 10, threads, 8);
    for (int i = 0; i < 4; ++i) CHECK(workers.next() == i);
    CHECK_THROWS_AS(workers.next(), std::runtime_error);
    CHECK_FALSE(workers.next().has_value());
  }
}

TEST_CASE("several threads do work at once") {
  std::atomic<int> inside = 0;
  std::atomic<bool> met = false;
  OrderedWorkers<int> workers(
      [&](std::int64_t) {
        ++inside;
        for (int i = 0; i < 2000 && !met; ++i) {
          if (inside > 1) met = true;
          std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
        --inside;
        return 0;
      },
      0, 2, 2, 2);
  (void)workers.next();
  (void)workers.next();
  CHECK(met);
}
