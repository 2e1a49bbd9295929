// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/report/detail/ticks.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <random>
#include <set>

using namespace thaw::detail;
using Catch::Matchers::WithinRel;

namespace {

std::vector<std::string> labels(const std::vector<Tick>& ticks) {
  std::vector<std::string> found;
  for (const Tick& tick : ticks)
    if (!tick.label.empty()) found.push_back(tick.label);
  return found;
}

using Labels = std::vector<std::string>;

/// In order, inside the range, no label twice, none too many, and each says its value.
void check_ticks(const std::vector<Tick>& ticks, Range range, std::size_t most) {
  CAPTURE(range.low, range.high, most, labels(ticks));
  const double slack = 1e-6 * (range.high - range.low);
  std::set<std::string> seen;
  for (std::size_t i = 0; i < ticks.size(); ++i) {
    CHECK((ticks[i].value >= range.low - slack && ticks[i].value <= range.high + slack));
    CHECK((i == 0 || ticks[i - 1].value < ticks[i].value));
    if (ticks[i].label.empty()) continue;
    CHECK(seen.insert(ticks[i].label).second);
    const double tolerance = ticks[i].label == "0" ? slack : 1e-6 * std::abs(ticks[i].value);
    CHECK(std::abs(std::stod(ticks[i].label) - ticks[i].value) <= tolerance);
  }
  CHECK((!seen.empty() && seen.size() <= most));
}

}  // namespace

TEST_CASE("linear ticks are multiples of 1, 2 or 5, with the decimals that they need") {
  CHECK(labels(linear_ticks({0, 1}, 6)) == Labels{"0", "0.2", "0.4", "0.6", "0.8", "1.0"});
  CHECK(labels(linear_ticks({0, 1}, 5)) == Labels{"0", "0.5", "1.0"});
  CHECK(labels(linear_ticks({-1.2, 2.9}, 6)) == Labels{"-1", "0", "1", "2"});
  CHECK(labels(linear_ticks({0, 70500}, 8)) ==
        Labels{"0", "10000", "20000", "30000", "40000", "50000", "60000", "70000"});
  CHECK(labels(linear_ticks({1, 1.00001}, 3)) == Labels{"1.000000", "1.000005", "1.000010"});
  CHECK(labels(linear_ticks({0, 4e8}, 5)) == Labels{"0", "1e8", "2e8", "3e8", "4e8"});
  CHECK(labels(linear_ticks({1e-9, 3e-9}, 3)) == Labels{"1e-9", "2e-9", "3e-9"});
}

TEST_CASE("linear ticks of any range") {
  std::mt19937 random{1};
  std::uniform_real_distribution<double> exponent{-250, 249}, part{-1, 1}, length{-5, 1};
  std::uniform_int_distribution<std::size_t> count{2, 12};
  for (int i = 0; i < 5000; ++i) {
    const double size = std::pow(10, exponent(random)), low = part(random) * size;
    const Range range{low, low + size * std::pow(10, length(random))};
    const std::size_t most = count(random);
    const std::vector<Tick> ticks = linear_ticks(range, most);
    if (most > 3) {
      check_ticks(ticks, range, most);
      CHECK(3 * ticks.size() >= most - 3);  // as many as there may be, but for the next larger step
    }
  }
}

TEST_CASE("logarithmic ticks are decades, with 2 and 5 between them where they fit") {
  CHECK(labels(log_ticks({1e-7, 10}, 9)) == Labels{"1e-7", "1e-6", "1e-5", "1e-4", "1e-3", "1e-2", "1e-1", "1", "10"});
  CHECK(labels(log_ticks({1e-7, 10}, 8)) == Labels{"1e-6", "1e-4", "1e-2", "1"});
  CHECK(labels(log_ticks({0.9e-3, 0.11}, 8)) == Labels{"1e-3", "2e-3", "5e-3", "1e-2", "2e-2", "5e-2", "1e-1"});
  CHECK(labels(log_ticks({1, 12000}, 5)) == Labels{"1", "10", "100", "1000", "1e4"});
  CHECK(log_ticks({1, 10}, 2).size() == 10);    // 1 to 9 and 10
  CHECK(log_ticks({1e-7, 10}, 8).size() == 9);  // every power, half of them labelled, and none between
}

TEST_CASE("below a decade logarithmic ticks are linear") {
  CHECK(labels(log_ticks({3.1e-4, 8.2e-4}, 6)) == Labels{"4e-4", "5e-4", "6e-4", "7e-4", "8e-4"});
}

TEST_CASE("logarithmic ticks of any range") {
  std::mt19937 random{2};
  std::uniform_real_distribution<double> exponent{-250, 249}, decades{0.01, 20};
  std::uniform_int_distribution<std::size_t> count{4, 12};
  for (int i = 0; i < 5000; ++i) {
    const double low = std::pow(10, exponent(random));
    const Range range{low, std::min(low * std::pow(10, decades(random)), 1e250)};
    const std::size_t most = count(random);
    check_ticks(log_ticks(range, most), range, most);
  }
}

TEST_CASE("rows are named by the ends of what is too long") {
  CHECK(labels(row_ticks({"stem", "eighteen_character", "encoder.layers.layer_11", "größe.größe.größe.größe"})) ==
        Labels{"stem", "eighteen_character", "...layers.layer_11", "..röße.größe.größe"});
  CHECK(row_ticks({"a", "b"})[1].value == 1);
}
