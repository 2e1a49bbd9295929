// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/recipe/folds.hpp>

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/bincount.h>
#include <ATen/ops/cat.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <thaw/data/in_memory.hpp>

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

namespace {

thaw::DataSource numbered(const at::Tensor& target) {
  return thaw::InMemory({.input = at::arange(target.size(0)), .target = target, .batch_size = 1000});
}
at::Tensor numbers(const thaw::DataSource& source) {
  thaw::BatchStream next = source.in_order();
  return next().value().input[0];
}

}  // namespace

TEST_CASE("folds hold out each sample once, and of each class as many; the same ones for the same seed") {
  const at::Tensor labels = at::cat({at::arange(60) % 2, at::arange(41) * 0 + 2});  // 30, 30, 41
  const std::vector<thaw::LearnerData> all = thaw::folds(numbered(labels), 5, 7),
                                       again = thaw::folds(numbered(labels), 5, 7);
  REQUIRE(all.size() == 5);
  std::vector<at::Tensor> held_out;
  for (std::size_t f = 0; f < all.size(); ++f) {
    const at::Tensor valid = numbers(all[f].valid), train = numbers(all[f].train);
    held_out.push_back(valid);
    CHECK(valid.equal(numbers(again[f].valid)));
    CHECK(std::get<0>(at::cat({valid, train}).sort()).equal(at::arange(101)));
    const at::Tensor counts = labels.index_select(0, valid).bincount();
    CHECK(counts[0].item<std::int64_t>() == 6);
    CHECK(counts[1].item<std::int64_t>() == 6);
    CHECK((counts[2].item<std::int64_t>() == 8 || counts[2].item<std::int64_t>() == 9));
  }
  CHECK(std::get<0>(at::cat(held_out).sort()).equal(at::arange(101)));
  CHECK_FALSE(numbers(thaw::folds(numbered(labels), 5, 8)[0].valid).equal(held_out[0]));
}

TEST_CASE("folds of targets that are no classes are of one size, or one more") {
  const auto all = thaw::folds(numbered(at::arange(10).to(at::kFloat)), 3);
  CHECK(numbers(all[0].valid).size(0) == 4);
  CHECK(numbers(all[1].valid).size(0) == 3);
  CHECK(numbers(all[2].train).size(0) == 7);
}

TEST_CASE("folds that would teach nothing are refused") {
  const auto refused = [](const thaw::DataSource& source, std::int64_t k, const char* why) {
    CHECK_THROWS_MATCHES(thaw::folds(source, k), thaw::Error, MessageMatches(ContainsSubstring(why)));
  };
  refused(numbered(at::arange(10) % 2), 1, "1 folds");
  refused(numbered(at::arange(3).to(at::kFloat)), 4, "3 samples for 4 folds");
  refused(numbered(at::arange(9).floor_divide(8)), 3, "class 1 has one sample");
  refused(std::vector<thaw::Batch>{{at::arange(4), at::arange(4)}}, 2, "cannot give a part of itself");
}
