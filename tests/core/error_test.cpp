// SPDX-License-Identifier: BSD-3-Clause
#include <catch2/catch_test_macros.hpp>
#include <limits>
#include <string>
#include <thaw/core/error.hpp>

TEST_CASE("an error says where, what and how to fix it") {
  const thaw::DataError error("training data", "there are no batches", "give at least one");
  CHECK(std::string(error.what()) == "training data: there are no batches\n  fix: give at least one");
  CHECK(error.where() == "training data");
  CHECK(error.problem() == "there are no batches");
  CHECK(error.fix() == "give at least one");
}

TEST_CASE("numbers in an error read as people write them") {
  CHECK(thaw::detail::number(1e-7) == "1e-07");
  CHECK(thaw::detail::number(-0.25) == "-0.25");
  CHECK(thaw::detail::number(1234567) == "1.23457e+06");
  CHECK(thaw::detail::number(std::numeric_limits<double>::quiet_NaN()) == "nan");
}

TEST_CASE("every kind of error is caught as thaw::Error and as std::runtime_error") {
  CHECK_THROWS_AS(throw thaw::ConfigError("a", "b", "c"), thaw::Error);
  CHECK_THROWS_AS(throw thaw::DataError("a", "b", "c"), thaw::Error);
  CHECK_THROWS_AS(throw thaw::FileError("a", "b", "c"), std::runtime_error);
}
