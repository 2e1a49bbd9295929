// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/ops/tensor.h>
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <cmath>
#include <limits>
#include <thaw/train/metric_total.hpp>
#include <utility>
#include <vector>

#include "support/data.hpp"

namespace thaw::test {

/// Nested lists of numbers as a tensor: int64 where they are all whole, else double.
inline at::Tensor tensor_of(const nlohmann::json& rows) {
  std::vector<std::int64_t> sizes;
  for (const nlohmann::json* row = &rows; row->is_array(); row = &row->front())
    sizes.push_back(static_cast<std::int64_t>(row->size()));
  std::vector<double> numbers;
  bool whole = true;
  const auto collect = [&](const auto& self, const nlohmann::json& value) -> void {
    if (value.is_array()) {
      for (const auto& entry : value) self(self, entry);
    } else {
      whole = whole && value.is_number_integer();
      numbers.push_back(value.get<double>());
    }
  };
  collect(collect, rows);
  return at::tensor(numbers, at::kDouble).reshape(sizes).to(whole ? at::kLong : at::kDouble);
}

/// A case of tests/fixtures/train/metrics.json: outputs, targets, and what scikit-learn says.
struct MetricCase {
  explicit MetricCase(const char* name) : MetricCase(std::string(name)) {}
  explicit MetricCase(const std::string& name) : MetricCase(json_fixture("train/metrics.json").at(name)) {}
  explicit MetricCase(const nlohmann::json& entry)
      : expected(entry), output(tensor_of(entry.at("output")).to(at::kDouble)), target(tensor_of(entry.at("target"))) {}

  nlohmann::json expected;
  at::Tensor output, target;
};

/// Everything at once, or in batches of `batch` samples, of which the last may be smaller.
inline std::vector<MetricValue> measure(const Metric& metric, const at::Tensor& output, const at::Tensor& target,
                                        std::int64_t batch = std::numeric_limits<std::int64_t>::max()) {
  MetricTotal total{metric};
  for (std::int64_t i = 0; i < output.size(0); i += std::min(batch, output.size(0)))
    total.add(output.slice(0, i, i + std::min(batch, output.size(0))),
              target.slice(0, i, i + std::min(batch, output.size(0))));
  return total.values();
}

inline double measure_one(const Metric& metric, const at::Tensor& output, const at::Tensor& target) {
  const auto values = measure(metric, output, target);
  REQUIRE(values.size() == 1);
  CHECK(values[0].name == metric.name);
  return values[0].value;
}

/// Number or list of numbers (null: NaN); the same for every split into batches.
inline void check_metric(const Metric& metric, const MetricCase& with, const nlohmann::json& expected) {
  using Catch::Matchers::WithinAbs;
  CAPTURE(metric.name);
  const std::vector<nlohmann::json> wanted =
      expected.is_array() ? expected.get<std::vector<nlohmann::json>>() : std::vector{expected};
  for (const std::int64_t batch : {std::int64_t{1000}, std::int64_t{8}, std::int64_t{3}, std::int64_t{1}}) {
    CAPTURE(batch);
    const auto values = measure(metric, with.output, with.target, batch);
    REQUIRE(values.size() == wanted.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
      CHECK(values[i].name == (expected.is_array() ? metric.name + "[" + std::to_string(i) + "]" : metric.name));
      if (wanted[i].is_null())
        CHECK(std::isnan(values[i].value));
      else
        CHECK_THAT(values[i].value, WithinAbs(wanted[i].get<double>(), 1e-12));
    }
  }
}

/// Lower precisions come near: float32 to 1e-4, 16 bits to 0.1.
inline void check_precisions(const Metric& metric, const MetricCase& with) {
  CAPTURE(metric.name);
  const double exact = measure_one(metric, with.output, with.target);
  for (const auto& [dtype, tolerance] : {std::pair{at::kFloat, 1e-4}, {at::kHalf, 0.1}, {at::kBFloat16, 0.1}}) {
    CAPTURE(dtype);
    CHECK_THAT(measure_one(metric, with.output.to(dtype), with.target),
               Catch::Matchers::WithinAbs(exact, tolerance * std::max(1.0, exact)));
  }
}

}  // namespace thaw::test
