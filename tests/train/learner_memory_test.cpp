// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/train/learner.hpp>

#include <catch2/catch_test_macros.hpp>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "support/bench.hpp"

#ifdef __GLIBC__
#include <malloc.h>
#endif

#ifdef THAW_ADDRESS_SANITIZER
extern "C" std::size_t __sanitizer_get_current_allocated_bytes();  // not every g++ brings its header
#endif

using thaw::test::Bench;

namespace {

/// Bytes that are allocated now and not freed, those of tensors included; none where nobody counts them.
std::int64_t live_bytes() {
#if defined(THAW_ADDRESS_SANITIZER)
  return static_cast<std::int64_t>(__sanitizer_get_current_allocated_bytes());
#elif defined(__GLIBC__)
  const struct mallinfo2 now = mallinfo2();
  return static_cast<std::int64_t>(now.uordblks + now.hblkhd);
#else
  return 0;
#endif
}

/// What the vector's memory takes of the allocator.
template <class T>
std::int64_t bytes_of(const std::vector<T>& values) {
  if (values.capacity() == 0) return 0;
#ifdef THAW_ADDRESS_SANITIZER
  constexpr std::int64_t header = 0;
#else
  constexpr std::int64_t header = sizeof(std::size_t);
#endif
#ifdef __GLIBC__
  return header + static_cast<std::int64_t>(malloc_usable_size(const_cast<T*>(values.data())));
#else
  return header;
#endif
}

std::int64_t bytes_of(const std::vector<bool>& values) {
#ifdef THAW_ADDRESS_SANITIZER
  return static_cast<std::int64_t>(values.capacity() / 8);
#else
  return values.capacity() == 0 ? 0 : 32;  // the smallest chunk, for up to 192 of them
#endif
}

std::int64_t bytes_of(const thaw::History& history) {
  std::int64_t bytes = bytes_of(history.steps) + bytes_of(history.epochs);
  for (const thaw::StepRecord& step : history.steps) bytes += bytes_of(step.lr);
  for (const thaw::EpochRecord& epoch : history.epochs) bytes += bytes_of(epoch.lr) + bytes_of(epoch.norms_only);
  return bytes;
}

/// Takes stock as epochs end.
struct Inventory {
  struct Count {
    std::int64_t live = 0, history = 0;
  };
  Count* early;
  Count* late;

  void on_epoch_end(const thaw::EpochEnd& event) const {
    const thaw::History& history = event.learner.history();
    if (history.steps.size() == 2'000) *early = {live_bytes(), bytes_of(history)};
    if (history.steps.size() == 10'000) *late = {live_bytes(), bytes_of(history)};
  }
};

}  // namespace

TEST_CASE("over 10,000 steps nothing grows but the history") {
  if (live_bytes() == 0) SKIP("this C library does not say how much is allocated");
  constexpr std::int64_t epochs = 500, steps = 10'000;
  Bench bench({.samples = 160, .sgd = false});
  Inventory::Count early, late;
  bench.learner->fit({.epochs = epochs, .freeze = thaw::FreezeTo{1}, .lr = 1e-4}, Inventory{&early, &late});
  REQUIRE(bench.learner->history().steps.size() == steps);
  REQUIRE(early.live > 0);
  // What is left is the allocator's own cache of freed chunks. One chunk per step, the smallest there is, were 256,000.
  CHECK(std::abs((late.live - early.live) - (late.history - early.history)) < 32'000);

  // Three rates, in a chunk of 32 bytes; a vector has up to as much in reserve as it holds, and a page at its end.
  constexpr std::int64_t step = 2 * sizeof(thaw::StepRecord) + 32, epoch = 2 * sizeof(thaw::EpochRecord) + 64;
  CHECK(late.history < steps * step + epochs * epoch + 2 * 4096);
}

TEST_CASE("once the history is full nothing grows, over epochs of many steps and over many epochs") {
  if (live_bytes() == 0) SKIP("this C library does not say how much is allocated");
  struct Watch {
    std::vector<std::int64_t>* live;
    void on_step_end(const thaw::StepEnd& event) const {
      if (event.learner.history().steps_done % 4000 == 3999) live->push_back(live_bytes());
    }
  };
  Bench bench({.samples = 4000});
  thaw::Learner learner(bench.net, thaw::LayerGroups::per_child(bench.net), thaw::cross_entropy,
                        {.train = bench.data(1), .max_recorded_steps = 256});
  std::vector<std::int64_t> live;
  live.reserve(100);
  learner.fit({.epochs = 5, .lr = 1e-4}, Watch{&live});
  REQUIRE(live.size() == 5);
  CHECK(std::abs(live[4] - live[1]) < 16'000);
}
