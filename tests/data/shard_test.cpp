// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/data/shard.hpp>

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <thaw/data/in_memory.hpp>
#include <thaw/data/prefetch.hpp>

using thaw::Batch;
using thaw::DataSource;
using thaw::InMemory;
using thaw::Shard;

namespace {

thaw::InMemoryOptions eleven_in_fours(bool shuffle) {
  return {.input = at::arange(11).unsqueeze(1), .target = at::arange(11) * 10, .batch_size = 4, .shuffle = shuffle};
}

std::vector<Batch> all_of(thaw::BatchStream next) {
  std::vector<Batch> all;
  while (std::optional<Batch> batch = next()) all.push_back(*std::move(batch));
  return all;
}

/// Of every batch, the shards one behind the other are the batch, and none is empty.
void check_shards(const DataSource& source, std::int64_t count, std::int64_t i = 0) {
  const std::vector<Batch> whole = all_of(source.stream(3, i));
  REQUIRE_FALSE(whole.empty());
  std::vector<std::vector<at::Tensor>> input(whole.size()), target(whole.size());
  for (std::int64_t index = 0; index < count; ++index) {
    const std::vector<Batch> shard = all_of(source.stream(3, i, {.index = index, .count = count}));
    REQUIRE(shard.size() == whole.size());
    for (std::size_t b = 0; b < whole.size(); ++b) {
      REQUIRE(shard[b].size() > 0);
      CHECK(shard[b].target[0].equal(shard[b].input[0].squeeze(1) * 10));
      CHECK(shard[b].stand_in == (whole[b].size() <= index));
      if (shard[b].stand_in) continue;
      input[b].push_back(shard[b].input[0]), target[b].push_back(shard[b].target[0]);
    }
  }
  for (std::size_t b = 0; b < whole.size(); ++b) {
    CHECK(at::cat(input[b]).equal(whole[b].input[0]));
    CHECK(at::cat(target[b]).equal(whole[b].target[0]));
  }
}

}  // namespace

TEST_CASE("shards of a row of samples are disjoint, cover it, and differ by one at most; the first are the larger") {
  for (std::int64_t n = 0; n <= 20; ++n)
    for (std::int64_t count = 1; count <= 6; ++count) {
      CAPTURE(n, count);
      std::int64_t end = 100;
      for (std::int64_t index = 0; index < count; ++index) {
        const Shard::Range own = Shard{.index = index, .count = count}.of(100, 100 + n);
        if (n > 0 && index >= n) {
          CHECK((own.stand_in && own.first == 100 && own.last == 101));
          continue;
        }
        CHECK_FALSE(own.stand_in);
        CHECK(own.first == end);
        CHECK(own.last - own.first == n / count + (index < n % count ? 1 : 0));
        end = own.last;
      }
      CHECK(end == 100 + n);
    }
}

TEST_CASE("a shard of a batch is its samples; where it has none, one that does not count") {
  const Batch whole{.input = std::vector{at::arange(3), at::arange(3) + 10}, .target = at::arange(3) * 2};
  CHECK(thaw::shard_of(whole, {}).input[0].is_same(whole.input[0]));
  const Batch first = thaw::shard_of(whole, {.index = 0, .count = 2});
  CHECK(first.input[0].equal(at::arange(2)));
  CHECK(first.input[1].equal(at::arange(2) + 10));
  CHECK(first.target[0].equal(at::arange(2) * 2));
  CHECK(first.counted() == 2);
  const Batch none = thaw::shard_of(whole, {.index = 3, .count = 4});
  CHECK(none.stand_in);
  CHECK(none.size() == 1);
  CHECK(none.counted() == 0);
  CHECK(none.to(at::kCPU).stand_in);
}

TEST_CASE("every kind of source gives shards that make up its batches, from any batch on") {
  const std::int64_t count = GENERATE(1, 2, 3, 5);
  const std::int64_t i = GENERATE(0, 2);
  CAPTURE(count, i);
  check_shards(InMemory(eleven_in_fours(false)), count, i);
  check_shards(InMemory(eleven_in_fours(true)), count, i);
  check_shards(thaw::Prefetch(InMemory(eleven_in_fours(true))), count, i);
  check_shards(std::vector<Batch>(all_of(InMemory(eleven_in_fours(false)).stream(0))), count, i);
}

TEST_CASE("the first batch of a shard is its own, also of a source that cannot be rewound") {
  const Shard second{.index = 1, .count = 2};
  const DataSource memory = InMemory(eleven_in_fours(true));
  CHECK(memory.first(5, second)->input[0].equal(memory.stream(5, 0, second)()->input[0]));

  struct Once {  // a range without size(), as LibTorch's loaders are
    std::vector<Batch> batches;
    [[nodiscard]] auto begin() const { return batches.begin(); }
    [[nodiscard]] auto end() const { return batches.end(); }
  };
  const std::vector<Batch> batches = all_of(InMemory(eleven_in_fours(false)).stream(0));
  const DataSource once(Once{batches}, 3);
  CHECK(once.first(0, second)->input[0].equal(at::tensor({2, 3}).unsqueeze(1)));
  CHECK(once.first(0)->input[0].equal(batches[0].input[0]));  // of the pass that began
  CHECK(all_of(once.stream(0, 0, second)).size() == 3);
}

TEST_CASE("shards of a batch that is augmented draw other numbers, and the same ones each time") {
  thaw::InMemoryOptions options = eleven_in_fours(false);
  options.transform = [](const thaw::Fields& input, at::Generator random) {
    return at::rand(input[0].sizes(), random, at::kDouble);
  };
  const InMemory source(options);
  const auto drawn = [&](std::int64_t index) { return source.stream(0, 0, {index, 2})()->input[0]; };
  CHECK(drawn(0).sizes() == drawn(1).sizes());
  CHECK_FALSE(drawn(0).equal(drawn(1)));
  CHECK(drawn(1).equal(drawn(1)));
}

TEST_CASE(
    "by number, shards of a source have each sample once, and give of each batch what they have other inputs of") {
  const std::int64_t count = GENERATE(2, 3, 5);
  const bool drop_last = GENERATE(false, true);
  CAPTURE(count, drop_last);
  thaw::InMemoryOptions options = eleven_in_fours(true);
  options.drop_last = drop_last;
  const DataSource source = GENERATE_REF(DataSource(InMemory(options)), DataSource(thaw::Prefetch(InMemory(options))));
  const std::vector<Batch> whole = all_of(source.stream(2));
  std::vector<std::vector<at::Tensor>> seen(whole.size());
  for (std::int64_t index = 0; index < count; ++index) {
    const Shard shard{.index = index, .count = count};
    std::vector<at::Tensor> own;
    for (const Batch& batch : all_of(source.indexed()->shard_in_order(0, shard))) own.push_back(batch.input[0]);
    CHECK(at::cat(own).equal(at::arange(index, 11, count).unsqueeze(1)));

    const DataSource features = source.indexed()->with_shard(at::cat(own) + 100, shard);
    CHECK(features.batches() == source.batches());
    const std::vector<Batch> batches = all_of(features.stream(2));
    REQUIRE(batches.size() == whole.size());
    for (std::size_t b = 0; b < whole.size(); ++b) {
      CHECK(batches[b].target[0].equal((batches[b].input[0].squeeze(1) - 100) * 10));
      CHECK(batches[b].size() > 0);
      if (!batches[b].stand_in) seen[b].push_back(batches[b].target[0]);
    }
    const std::vector<Batch> rest = all_of(features.stream(2, 1));
    REQUIRE(rest.size() + 1 == batches.size());
    CHECK(rest[0].input[0].equal(batches[1].input[0]));
  }
  for (std::size_t b = 0; b < whole.size(); ++b)
    CHECK(std::get<0>(at::cat(seen[b]).sort()).equal(std::get<0>(whole[b].target[0].sort())));
}

TEST_CASE("inputs of a shard that are not as many as its samples are refused") {
  CHECK_THROWS_WITH(InMemory(eleven_in_fours(false)).with_input(at::arange(5), {.index = 0, .count = 2}),
                    Catch::Matchers::ContainsSubstring("5 inputs, but 11 targets"));
}
