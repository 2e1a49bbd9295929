// SPDX-License-Identifier: BSD-3-Clause
// What is refused; what it finds, tests/device/batch_size_test.cpp has.
#include <thaw/train/find_batch_size.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "support/bench.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

TEST_CASE("on the CPU nothing would throw, so it is refused; so are sizes that make no sense, and a callback's call") {
  thaw::test::Bench bench;
  const auto data = [&](std::int64_t n) { return bench.data(n); };
  const auto refused = [&](const thaw::BatchSizes& sizes, const char* why) {
    CHECK_THROWS_MATCHES(thaw::find_batch_size(*bench.learner, data, {}, sizes), thaw::ConfigError,
                         MessageMatches(ContainsSubstring(why)));
  };
  refused({}, "find_batch_size: the model is on the CPU, where a batch that does not fit ends the program");
  refused({.first = 0}, "find_batch_size: sizes from 0 to 8192");
  refused({.first = 4, .max = 2}, "sizes from 4 to 2");
  struct Asks {
    void on_step_end(const thaw::StepEnd& event) const {
      (void)thaw::find_batch_size(event.learner, [](std::int64_t) { return thaw::DataSource(); });
    }
  };
  CHECK_THROWS_MATCHES(bench.learner->fit({}, Asks{}), thaw::ConfigError,
                       MessageMatches(ContainsSubstring("find_batch_size: a callback calls it")));
}
