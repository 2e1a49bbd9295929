// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/data/in_memory.hpp>

#include <ATen/Context.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/zeros.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <map>

#include "support/samples.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using thaw::DataSource;
using thaw::InMemory;
using thaw::test::all;

namespace {

const at::Tensor inputs = at::arange(20).reshape({10, 2}), labels = at::arange(10);

at::Tensor targets(const std::vector<thaw::Batch>& batches) {
  std::vector<at::Tensor> parts;
  for (const auto& b : batches) parts.push_back(b.target);
  return at::cat(parts);
}

}  // namespace

TEST_CASE("in order, a pass gives every sample once, the last batch as it is or left out") {
  const DataSource source = InMemory({.input = inputs, .target = labels, .batch_size = 4});
  CHECK(source.batches() == 3);
  const auto batches = all(source);
  REQUIRE(batches.size() == 3);
  CHECK(batches[2].size() == 2);
  CHECK(at::equal(targets(batches), labels));
  CHECK(at::equal(batches[1].input, inputs.slice(0, 4, 8)));
  const DataSource dropped = InMemory({.input = inputs, .target = labels, .batch_size = 4, .drop_last = true});
  CHECK(dropped.batches() == 2);
  CHECK(all(dropped).size() == 2);
}

TEST_CASE("shuffled, inputs stay with their targets; seed and epoch fix the order, the global generator is untouched") {
  const thaw::InMemoryOptions options{.input = inputs, .target = labels, .batch_size = 4, .shuffle = true, .seed = 7};
  const DataSource source = InMemory(options);
  const at::Tensor random = at::globalContext().defaultGenerator(at::kCPU).get_state();
  const auto first = all(source, 0);
  CHECK(at::equal(at::globalContext().defaultGenerator(at::kCPU).get_state(), random));
  for (const auto& batch : first) CHECK(at::equal(batch.input[0].select(1, 0), batch.target[0] * 2));
  CHECK(at::equal(std::get<0>(targets(first).sort()), labels));
  CHECK_FALSE(at::equal(targets(first), labels));
  CHECK(at::equal(targets(all(source, 0)), targets(first)));
  CHECK_FALSE(at::equal(targets(all(source, 1)), targets(first)));
  auto other = options;
  other.seed = 8;
  CHECK_FALSE(at::equal(targets(all(InMemory(other), 0)), targets(first)));
}

TEST_CASE("the transform sees each batch's input") {
  const DataSource source = InMemory(
      {.input = inputs, .target = labels, .batch_size = 5, .transform = [](const at::Tensor& b) { return b * -1; }});
  CHECK(at::equal(all(source)[0].input, inputs.slice(0, 0, 5) * -1));
}

TEST_CASE("a transform that takes a generator gives the same for a batch each time, whatever else draws") {
  const at::Tensor zeros = at::zeros({10, 2});
  const auto noise = [](const at::Tensor& b, at::Generator random) { return b + at::rand(b.sizes(), random); };
  const InMemory source({.input = zeros, .target = labels, .batch_size = 4, .transform = noise});
  const auto first = all(source, 0), second = all(source, 1);
  (void)at::rand({3});
  const auto again = all(source, 0);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(at::equal(again[i].input, first[i].input));
    CHECK_FALSE(at::equal(second[i].input, first[i].input));
  }
  CHECK_FALSE(at::equal(first[0].input, first[1].input));
  const InMemory neighbour({.input = zeros, .target = labels, .batch_size = 4, .seed = 1, .transform = noise});
  for (const auto& batch : all(neighbour, 0))
    for (const auto& other : first) CHECK_FALSE(at::equal(batch.input, other.input));
  CHECK(at::equal((*source.in_order(1)()).input, second[0].input));
}

TEST_CASE("a pass can go on from any batch, as if it had never been left") {
  const auto noise = [](const at::Tensor& b, at::Generator random) { return b + at::rand(b.sizes(), random); };
  const InMemory source({.input = inputs, .target = labels, .batch_size = 3, .shuffle = true, .transform = noise});
  const auto whole = all(source, 5);
  for (std::int64_t i = 0; i <= 4; ++i) {
    auto next = source.stream(5, i);
    for (std::size_t k = static_cast<std::size_t>(i); k < whole.size(); ++k) {
      const auto batch = next();
      REQUIRE(batch);
      CHECK(at::equal(batch->input, whole[k].input));
      CHECK(at::equal(batch->target, whole[k].target));
    }
    CHECK_FALSE(next());
  }
}

TEST_CASE("all targets can be seen at once") {
  CHECK(DataSource(InMemory({.input = inputs, .target = labels})).targets()[0].is_same(labels));
}

TEST_CASE("bad data is refused") {
  CHECK_THROWS_AS(InMemory({.input = {}, .target = labels}), thaw::DataError);
  CHECK_THROWS_AS(InMemory({.input = at::zeros({0, 2}), .target = at::zeros({0})}), thaw::DataError);
  CHECK_THROWS_AS(InMemory({.input = inputs, .target = labels.slice(0, 0, 9)}), thaw::DataError);
  CHECK_THROWS_AS(InMemory({.input = inputs, .target = labels, .batch_size = 0}), thaw::DataError);
  CHECK_THROWS_AS(InMemory({.input = inputs, .target = labels, .batch_size = 16, .drop_last = true}), thaw::DataError);
}

TEST_CASE("several inputs and targets are gathered alike, so that samples stay whole") {
  struct Views {
    at::Tensor near, far;
  };
  struct Truth {
    at::Tensor label, box;
  };
  const DataSource source = InMemory({.input = Views{.near = inputs, .far = labels * 3},
                                      .target = Truth{.label = labels, .box = inputs * 5},
                                      .batch_size = 4,
                                      .shuffle = true,
                                      .seed = 3});
  CHECK(source.targets().size() == 2);
  std::int64_t seen = 0;
  for (const auto& batch : all(source)) {
    REQUIRE(batch.input.size() == 2);
    REQUIRE(batch.target.size() == 2);
    const Views views = batch.input.as<Views>();
    const Truth truth = batch.target.as<Truth>();
    CHECK(at::equal(views.near.select(1, 0), truth.label * 2));
    CHECK(at::equal(views.far, truth.label * 3));
    CHECK(at::equal(truth.box, views.near * 5));
    seen += batch.size();
  }
  CHECK(seen == 10);
}

TEST_CASE("inputs by name keep their names in every batch") {
  const DataSource source = InMemory({.input = std::map<std::string, at::Tensor>{{"image", inputs}, {"mask", labels}},
                                      .target = labels,
                                      .batch_size = 4});
  for (const auto& batch : all(source)) CHECK(at::equal(batch.input.at("mask"), batch.target));
}

TEST_CASE("the transform sees all inputs of a batch, and may give another number of them") {
  const DataSource source = InMemory({.input = std::pair{inputs, labels},
                                      .target = labels,
                                      .batch_size = 5,
                                      .transform = [](const thaw::Fields& input) {
                                        return thaw::Fields(std::vector{input[0] + 1, input[1] * 2, input[1]});
                                      }});
  const auto batches = all(source);
  REQUIRE(batches[1].input.size() == 3);
  CHECK(at::equal(batches[1].input[0], inputs.slice(0, 5) + 1));
  CHECK(at::equal(batches[1].input[1], labels.slice(0, 5) * 2));
  CHECK(at::equal(batches[1].input[2], batches[1].target));
}

TEST_CASE("inputs or targets of different lengths are refused, with both lengths") {
  const auto make = [](const thaw::Fields& input, const thaw::Fields& target) {
    return InMemory({.input = input, .target = target});
  };
  CHECK_THROWS_MATCHES(make(std::pair{inputs, at::ones({9})}, labels), thaw::DataError,
                       MessageMatches(ContainsSubstring("10 inputs, but 9 of another input")));
  CHECK_THROWS_MATCHES(make(inputs, std::pair{labels, at::ones({7})}), thaw::DataError,
                       MessageMatches(ContainsSubstring("10 inputs, but 7 targets")));
  CHECK_THROWS_AS(make(std::pair{inputs, at::ones({})}, labels), thaw::DataError);
  CHECK_THROWS_AS(make(std::pair{inputs, at::ones({0})}, labels), thaw::DataError);
}

TEST_CASE("a subset has these samples and no others, and goes on as the source does") {
  const DataSource source = InMemory({.input = inputs, .target = labels, .batch_size = 2, .shuffle = true, .seed = 3});
  REQUIRE(source.indexed()->subset);
  const DataSource some = source.indexed()->subset(at::arange(1, 10, 2));
  CHECK(some.indexed()->samples == 5);
  CHECK(some.batches() == 3);
  CHECK(some.targets()[0].equal(at::arange(1, 10, 2)));
  const at::Tensor seen = targets(all(some));
  CHECK_FALSE(seen.equal(at::arange(1, 10, 2)));  // shuffled
  CHECK(std::get<0>(seen.sort()).equal(at::arange(1, 10, 2)));
}
