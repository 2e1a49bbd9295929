// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/report/detail/numbers.hpp>

#include <catch2/catch_test_macros.hpp>
#include <limits>

using namespace thaw::detail;

TEST_CASE("powers of ten are written short") {
  CHECK(scientific(3e-4, 1) == "3.0e-4");
  CHECK(scientific(1e5, 0) == "1e5");
  CHECK(scientific(-2.5e-12, 1) == "-2.5e-12");
  CHECK(scientific(1, 0) == "1e0");
  CHECK(scientific(0, 1) == "0");
  CHECK(scientific(1e100, 0) == "1e100");
}

TEST_CASE("measured values take at most ten characters and show four digits") {
  CHECK(measured(0.69314) == "0.6931");
  CHECK(measured(0) == "0.0000");
  CHECK(measured(0.001) == "0.0010");
  CHECK(measured(0.00012345) == "1.234e-4");
  CHECK(measured(-9999.99999) == "-1.000e4");
  CHECK(measured(-9.9999e99) == "-1.000e100");
  CHECK(measured(-1234.56789).size() == 10);
  CHECK(measured(std::numeric_limits<double>::quiet_NaN()) == "nan");
  CHECK(measured(std::numeric_limits<double>::infinity()) == "inf");
}

TEST_CASE("counts have separators") {
  CHECK(with_separators(0) == "0");
  CHECK(with_separators(999) == "999");
  CHECK(with_separators(1000) == "1,000");
  CHECK(with_separators(1291098) == "1,291,098");
  CHECK(with_separators(-123456) == "-123,456");
}

TEST_CASE("times") {
  CHECK(clock_time(0.4) == "0:00");
  CHECK(clock_time(59.6) == "1:00");
  CHECK(clock_time(754) == "12:34");
  CHECK(clock_time(3723) == "1:02:03");
  CHECK(clock_time(-1) == "0:00");
  CHECK(clock_time(std::numeric_limits<double>::infinity()) == "1000000:00:00");
  CHECK(duration(0.42) == "0.42s");
  CHECK(duration(9.999) == "10.0s");
  CHECK(duration(59.96) == "1:00");
  CHECK(duration(3600) == "1:00:00");
}
