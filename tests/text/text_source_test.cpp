// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/text/text_source.hpp>

#include "support/samples.hpp"

#include <ATen/Context.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using thaw::text::TextSource;
using thaw::test::all;

namespace {

/// Text i is the token 100 + i, repeated 1 to 40 times.
thaw::text::TextSourceOptions texts_of(std::int64_t n) {
  thaw::text::TextSourceOptions options{.target = at::arange(n), .padding = 9, .batch_size = 4};
  for (std::int64_t i = 0; i < n; ++i) {
    const auto length = static_cast<std::size_t>(1 + i * 17 % 40);
    options.texts.push_back({.ids = std::vector(length, 100 + i), .types = std::vector<std::int64_t>(length, 0)});
  }
  return options;
}

thaw::text::TextSourceOptions shuffled(std::int64_t n, std::int64_t bucket = 5) {
  thaw::text::TextSourceOptions options = texts_of(n);
  options.shuffle = true;
  options.seed = 7;
  options.bucket = bucket;
  return options;
}

at::Tensor labels_of(const std::vector<thaw::Batch>& batches) {
  std::vector<at::Tensor> parts;
  for (const thaw::Batch& batch : batches) parts.push_back(batch.target);
  return at::cat(parts);
}

std::int64_t places(const std::vector<thaw::Batch>& batches) {
  std::int64_t sum = 0;
  for (const thaw::Batch& batch : batches) sum += batch.input[0].numel();
  return sum;
}

}  // namespace

TEST_CASE("in order, each batch of texts is as long as its longest, with ids, mask and types, and its targets") {
  const auto batches = all(TextSource(texts_of(10)));
  REQUIRE(batches.size() == 3);
  CHECK(batches[2].size() == 2);
  CHECK(at::equal(labels_of(batches), at::arange(10)));
  REQUIRE(batches[0].input.size() == 3);  // lengths 1, 18, 35, 12
  CHECK(batches[0].input[0].sizes() == at::IntArrayRef({4, 35}));
  CHECK(batches[0].input[1].sum(1).equal(at::tensor({1, 18, 35, 12})));
  CHECK(batches[0].input[0][1][17].item<std::int64_t>() == 101);
  CHECK(batches[0].input[0][1][18].item<std::int64_t>() == 9);
  CHECK(batches[0].input[2].sum().item<std::int64_t>() == 0);
}

TEST_CASE("shuffled, every text comes once with its target; seed and epoch fix the order, no generator moves") {
  const thaw::DataSource source = TextSource(shuffled(42));
  CHECK(source.batches() == 11);
  CHECK(source.last_batch() == 2);
  CHECK(at::equal(source.targets(), at::arange(42)));
  const at::Tensor random = at::globalContext().defaultGenerator(at::kCPU).get_state();
  const auto first = all(source, 0);
  CHECK(at::equal(at::globalContext().defaultGenerator(at::kCPU).get_state(), random));
  REQUIRE(first.size() == 11);
  CHECK(first.back().size() == 2);
  for (const thaw::Batch& batch : first) CHECK(at::equal(batch.input[0].select(1, 0) - 100, batch.target));
  CHECK(at::equal(std::get<0>(labels_of(first).sort()), at::arange(42)));
  CHECK_FALSE(at::equal(labels_of(first), at::arange(42)));
  CHECK(at::equal(labels_of(all(source, 0)), labels_of(first)));
  CHECK_FALSE(at::equal(labels_of(all(source, 1)), labels_of(first)));
  auto other = shuffled(42);
  other.seed = 8;
  CHECK_FALSE(at::equal(labels_of(all(TextSource(other))), labels_of(first)));
}

TEST_CASE("texts of about one length come together, in batches of random order") {
  const auto by_chance = all(TextSource(shuffled(400, 1))), by_length = all(TextSource(shuffled(400, 100)));
  const std::int64_t tokens = places(all(TextSource([] {
    auto one = texts_of(400);
    one.batch_size = 1;
    return one;
  }())));
  CHECK(places(by_length) < tokens + tokens / 10);
  CHECK(places(by_chance) > tokens + tokens / 3);
  bool longer = false, shorter = false;  // than the batch before
  for (std::size_t i = 1; i < by_length.size(); ++i) {
    longer = longer || by_length[i].input[0].size(1) > by_length[i - 1].input[0].size(1);
    shorter = shorter || by_length[i].input[0].size(1) < by_length[i - 1].input[0].size(1);
  }
  CHECK((longer && shorter));
  CHECK(at::equal(std::get<0>(labels_of(by_chance).sort()), at::arange(400)));
}

TEST_CASE("a pass of texts that goes on from its i-th batch is the rest of the whole") {
  for (const auto& options : {texts_of(23), shuffled(23), shuffled(23, 1)}) {
    const TextSource source(options);
    const thaw::DataSource whole = source;
    const auto batches = all(whole, 3);
    std::int64_t i = 4;
    for (thaw::BatchStream rest = whole.stream(3, 4); const auto batch = rest(); ++i)
      CHECK(at::equal(batch->input[0], batches[static_cast<std::size_t>(i)].input[0]));
    CHECK(i == source.batches());
    CHECK_FALSE(source.stream(3, 6)().has_value());
  }
}

TEST_CASE("a shard of texts has its own rows of each batch, as long as its own longest") {
  const TextSource source(shuffled(42));
  for (std::int64_t index = 0; index < 3; ++index) {
    const thaw::Shard shard{.index = index, .count = 3};
    thaw::BatchStream next = source.stream(1, 0, shard);
    for (const thaw::Batch& batch : all(source, 1)) {
      const std::optional<thaw::Batch> own = next();
      REQUIRE(own);
      const thaw::Batch expected = thaw::shard_of(batch, shard);
      CHECK(own->stand_in == expected.stand_in);
      CHECK(at::equal(own->target[0], expected.target[0]));
      const std::int64_t longest = own->input[0].size(1);
      CHECK(longest == expected.input[1].sum(1).max().item<std::int64_t>());
      CHECK(at::equal(own->input[0], expected.input[0].slice(1, 0, longest)));
    }
    CHECK_FALSE(next());
  }
}

TEST_CASE("a last batch of texts that is not full may be left out") {
  auto options = shuffled(10);
  options.drop_last = true;
  const auto batches = all(TextSource(options));
  REQUIRE(batches.size() == 2);
  CHECK(batches[1].size() == 4);
}

TEST_CASE("a text source of nothing, with other targets, an empty text or no bucket is an error") {
  CHECK_THROWS_AS(TextSource({}), thaw::DataError);
  auto options = texts_of(3);
  options.target = at::arange(4);
  CHECK_THROWS_MATCHES(TextSource(options), thaw::DataError,
                       MessageMatches(ContainsSubstring("3 texts, but 4 targets")));
  options.target = at::Tensor();
  CHECK_THROWS_MATCHES(TextSource(options), thaw::DataError, MessageMatches(ContainsSubstring("0 targets")));
  options = texts_of(3);
  options.bucket = 0;
  CHECK_THROWS_MATCHES(TextSource(options), thaw::DataError, MessageMatches(ContainsSubstring("bucket is 0")));
  options = texts_of(3);
  options.texts[1] = {};
  CHECK_THROWS_MATCHES(TextSource(options), thaw::DataError, MessageMatches(ContainsSubstring("text 1 has no tokens")));
}

TEST_CASE("however they are shuffled, texts can be had in order, none left out") {
  thaw::text::TextSourceOptions options = shuffled(10);
  options.drop_last = true;
  const thaw::DataSource source = TextSource(options);
  std::vector<thaw::Batch> batches;
  for (auto next = source.in_order(); const auto batch = next();) batches.push_back(*batch);
  CHECK(at::equal(labels_of(batches), at::arange(10)));
}

TEST_CASE("a text source knows its classes where they are given") {
  const thaw::text::TextSourceOptions options{.texts = {{.ids = {1}}}, .target = at::tensor({0}, at::kLong)};
  CHECK(thaw::DataSource(thaw::text::TextSource(options)).classes().empty());
  thaw::text::TextSourceOptions named = options;
  named.classes = {"bad", "good"};
  CHECK(thaw::DataSource(thaw::text::TextSource(named)).classes() == std::vector<std::string>{"bad", "good"});
}
