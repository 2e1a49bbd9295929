// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/data/batch.hpp>

#include <torch/data/example.h>
#include <torch/ordered_dict.h>

#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <map>
#include <unordered_map>

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

namespace {

const at::Tensor x = at::ones({2, 3}), z = at::ones({2, 1}), y = at::zeros({2}), w = at::zeros({2, 2});

struct Pair {
  at::Tensor left, right;
};
struct Labelled {
  at::Tensor image;
  at::Tensor target;
};
struct TargetFirst {
  at::Tensor target;
  at::Tensor image, mask;
};
struct Nested {
  Pair views;
  at::Tensor mask;
  Pair target;
};
struct Named {
  std::map<std::string, at::Tensor> input;
  std::vector<at::Tensor> target;
};
struct NoTarget {
  at::Tensor image, label;
};
struct Wide {
  at::Tensor a, b, c, d, e, f, g, h, target;
};
struct Indexed {
  at::Tensor image, target;
  int id;
};

void check_same(const thaw::Fields& fields, const std::vector<at::Tensor>& expected) {
  REQUIRE(fields.size() == expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) CHECK(fields[i].is_same(expected[i]));
}

}  // namespace

TEST_CASE("batches of every usual form give their two tensors") {
  const auto check = [&](const auto& like) {
    const thaw::Batch batch = thaw::to_batch(like);
    check_same(batch.input, {x});
    check_same(batch.target, {y});
    CHECK(batch.size() == 2);
  };
  check(thaw::Batch{x, y});
  check(torch::data::Example<>{x, y});
  check(std::pair{x, y});
  check(std::tuple{x, y});
  check(Labelled{x, y});
}

TEST_CASE("of a struct, the member target is the target, wherever it stands; the rest is the input, in order") {
  const thaw::Batch batch = thaw::to_batch(TargetFirst{.target = y, .image = x, .mask = z});
  check_same(batch.input, {x, z});
  check_same(batch.target, {y});
}

TEST_CASE("structs nest: parts of several tensors are joined") {
  const thaw::Batch nested = thaw::to_batch(Nested{.views = {x, z}, .mask = w, .target = {y, z}});
  check_same(nested.input, {x, z, w});
  check_same(nested.target, {y, z});

  const thaw::Batch named = thaw::to_batch(Named{.input = {{"a", x}, {"b", z}}, .target = {y, w}});
  CHECK(named.input.at("b").is_same(z));  // an input of its own keeps its names
  check_same(named.target, {y, w});

  const thaw::Batch example = thaw::to_batch(torch::data::Example<Pair, at::Tensor>{Pair{x, z}, y});
  check_same(example.input, {x, z});
  check_same(example.target, {y});
}

TEST_CASE("of a tuple, the last element is the target") {
  const thaw::Batch three = thaw::to_batch(std::tuple{x, z, y});
  check_same(three.input, {x, z});
  check_same(three.target, {y});
  const thaw::Batch grouped = thaw::to_batch(std::pair{std::vector{x, z}, Pair{y, w}});
  check_same(grouped.input, {x, z});
  check_same(grouped.target, {y, w});
}

TEST_CASE("of a dictionary, target, targets, label or labels is the target; the rest keeps its names") {
  for (const std::string name : {"target", "targets", "label", "labels"}) {
    CAPTURE(name);
    const auto check = [&](const auto& dict) {
      const thaw::Batch batch = thaw::to_batch(dict);
      check_same(batch.target, {y});
      REQUIRE(batch.input.size() == 2);
      CHECK(batch.input.at("image").is_same(x));
      CHECK(batch.input.at("zoom").is_same(z));
    };
    check(std::map<std::string, at::Tensor>{{"image", x}, {name, y}, {"zoom", z}});
    check(std::unordered_map<std::string, at::Tensor>{{"image", x}, {name, y}, {"zoom", z}});
    check(torch::OrderedDict<std::string, at::Tensor>{{name, y}, {"image", x}, {"zoom", z}});
  }
  const thaw::Batch one = thaw::to_batch(std::map<std::string, at::Tensor>{{"image", x}, {"label", y}});
  check_same(one.input, {x});
  CHECK(one.input.names().empty());  // a single input has no need of its name
}

TEST_CASE("a dictionary without a target, or with nothing else, is an error that names what it has") {
  using Dict = std::map<std::string, at::Tensor>;
  CHECK_THROWS_MATCHES(thaw::to_batch(Dict{{"image", x}, {"klass", y}}), thaw::DataError,
                       MessageMatches(ContainsSubstring("image, klass") && ContainsSubstring("DataSource::from")));
  CHECK_THROWS_MATCHES(thaw::to_batch(Dict{{"labels", y}}), thaw::DataError,
                       MessageMatches(ContainsSubstring("labels")));
  CHECK_THROWS_AS(thaw::to_batch(Dict{}), thaw::DataError);
}

TEST_CASE("to() moves every tensor, keeps names, and copies nothing that is there already") {
  const thaw::Batch batch = thaw::to_batch(std::map<std::string, at::Tensor>{{"a", x}, {"b", z}, {"target", y}});
  const thaw::Batch here = batch.to(at::kCPU);
  check_same(here.input, {x, z});
  check_same(here.target, {y});
  CHECK(here.input.names() == batch.input.names());
  const thaw::Batch there = batch.to(at::kMeta);  // a device that every machine has
  CHECK(there.input[0].is_meta());
  CHECK(there.input[1].is_meta());
  CHECK(there.target[0].is_meta());
  CHECK(there.input.names() == batch.input.names());
  CHECK(there.size() == 2);
}

TEST_CASE("what is no batch is told apart") {
  STATIC_CHECK(thaw::BatchLike<thaw::Batch>);
  STATIC_CHECK(thaw::BatchLike<std::pair<at::Tensor, at::Tensor>>);
  STATIC_CHECK(thaw::BatchLike<std::tuple<at::Tensor, at::Tensor, at::Tensor>>);
  STATIC_CHECK(thaw::BatchLike<std::map<std::string, at::Tensor>>);
  STATIC_CHECK(thaw::BatchLike<Nested>);
  STATIC_CHECK_FALSE(thaw::BatchLike<at::Tensor>);
  STATIC_CHECK_FALSE(thaw::BatchLike<int>);
  STATIC_CHECK_FALSE(thaw::BatchLike<std::pair<int, std::string>>);
  STATIC_CHECK_FALSE(thaw::BatchLike<std::tuple<at::Tensor>>);
  STATIC_CHECK_FALSE(thaw::BatchLike<NoTarget>);
  STATIC_CHECK_FALSE(thaw::BatchLike<Indexed>);
  STATIC_CHECK_FALSE(thaw::BatchLike<Wide>);
}
