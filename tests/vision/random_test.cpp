// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/vision/random.hpp>

#include <array>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstdint>
#include <set>

using thaw::vision::Random;

TEST_CASE("random bits are splitmix64's, as published") {
  Random random(1234567);
  for (const std::uint64_t bits :
       {6457827717110365317U, 3203168211198807973U, 9817491932198370423U, 4593380528125082431U, 16408922859458223821U})
    CHECK(random.bits() == bits);
}

TEST_CASE("numbers lie where they are asked for, and reach all of it") {
  Random random(1);
  double least = 1, most = 0;
  std::set<std::int64_t> seen;
  int hits = 0;
  for (int i = 0; i < 10000; ++i) {
    const double u = random.uniform(-2, 3);
    least = std::min(least, u), most = std::max(most, u);
    seen.insert(random.below(5));
    hits += random.chance(0.3) ? 1 : 0;
    CHECK_FALSE(random.chance(0));
    CHECK(random.chance(1));
    const double log = random.log_uniform(0.5, 2);
    CHECK((log >= 0.5 && log <= 2));
  }
  CHECK((least >= -2 && least < -1.99));
  CHECK((most < 3 && most > 2.99));
  CHECK(seen == std::set<std::int64_t>{0, 1, 2, 3, 4});
  CHECK(std::abs(hits - 3000) < 4 * std::sqrt(10000 * 0.3 * 0.7));
}
