// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/data/spread_sample.hpp>

#include <ATen/ops/arange.h>
#include <catch2/catch_test_macros.hpp>
#include <cstdint>
#include <memory>
#include <thaw/data/in_memory.hpp>
#include <vector>

namespace {

thaw::DataSource counting(std::int64_t count, std::int64_t batch_size, bool shuffle = false) {
  return thaw::InMemory(
      {.input = at::arange(count), .target = at::arange(count), .batch_size = batch_size, .shuffle = shuffle});
}

std::vector<std::int64_t> values_in(const std::vector<thaw::Batch>& batches) {
  std::vector<std::int64_t> all;
  for (const thaw::Batch& batch : batches)
    for (std::int64_t i = 0; i < batch.size(); ++i) {
      all.push_back(batch.input[0][i].item<std::int64_t>());
      CHECK(all.back() == batch.target[0][i].item<std::int64_t>());
    }
  return all;
}

}  // namespace

TEST_CASE("a sample is spread evenly over a source, whatever its batches") {
  for (const std::int64_t batch_size : {1, 2, 3, 4, 6, 12})
    CHECK(values_in(thaw::spread_sample(counting(24, batch_size), 6)) ==
          std::vector<std::int64_t>{0, 4, 8, 12, 16, 20});
}

TEST_CASE("a source that is no larger than the sample is taken whole") {
  CHECK(values_in(thaw::spread_sample(counting(5, 2), 6)) == std::vector<std::int64_t>{0, 1, 2, 3, 4});
}

TEST_CASE("of several processes each takes its part") {
  std::size_t total = 0;
  for (const std::int64_t rank : {0, 1}) {
    const auto own = values_in(thaw::spread_sample(counting(24, 4), 6, {.index = rank, .count = 2}));
    CHECK(own.size() == 3);
    total += own.size();
  }
  CHECK(total == 6);
}

TEST_CASE("a sample can be run through again and again") {
  const auto sample =
      std::make_shared<const std::vector<thaw::Batch>>(thaw::spread_sample(counting(8, 4), 4));
  for (int pass = 0; pass < 2; ++pass) {
    std::int64_t samples = 0;
    for (thaw::BatchStream next = thaw::stream_of(sample); const auto batch = next();) samples += batch->size();
    CHECK(samples == 4);
  }
}
