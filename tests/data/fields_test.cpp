// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/data/fields.hpp>

#include <torch/ordered_dict.h>

#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <array>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <map>
#include <unordered_map>

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using thaw::Fields;

namespace {

/// Tensors 0 .. n-1, told apart by their value.
std::vector<at::Tensor> numbered(std::int64_t n) {
  std::vector<at::Tensor> tensors;
  for (std::int64_t i = 0; i < n; ++i) tensors.push_back(at::full({2}, i));
  return tensors;
}

const std::vector<at::Tensor> t = numbered(8);

void check_same(const Fields& fields, std::size_t n) {
  REQUIRE(fields.size() == n);
  for (std::size_t i = 0; i < n; ++i) CHECK(fields[i].is_same(t[i]));
}

struct One {
  at::Tensor a;
};
struct Two {
  at::Tensor image, mask;
};
struct Eight {
  at::Tensor a, b, c, d, e, f, g, h;
};
struct Nine {
  at::Tensor a, b, c, d, e, f, g, h, i;
};
struct Mixed {
  at::Tensor image;
  int id;
};
struct Worded {
  at::Tensor image;
  std::string name;
};
struct None {};
struct Closed {
  explicit Closed(at::Tensor tensor) : a(std::move(tensor)) {}
  at::Tensor a;
};

/// What goes in comes out as the same handles, in the same order.
template <class T>
void check_round_trip(const T& value, std::size_t n) {
  const Fields fields = value;
  check_same(fields, n);
  check_same(fields.as<T>(), n);
}

}  // namespace

TEST_CASE("fields are made from a tensor, a range, a pair, a tuple or a struct, and come back as one") {
  check_round_trip(t[0], 1);
  check_round_trip(std::vector{t[0], t[1], t[2]}, 3);
  check_round_trip(std::array{t[0], t[1]}, 2);
  check_round_trip(std::pair{t[0], t[1]}, 2);
  check_round_trip(std::tuple{t[0], t[1], t[2]}, 3);
  check_round_trip(One{t[0]}, 1);
  check_round_trip(Two{t[0], t[1]}, 2);
  check_round_trip(Eight{t[0], t[1], t[2], t[3], t[4], t[5], t[6], t[7]}, 8);
  check_same(Fields(t[0]).as<Fields>(), 1);
}

TEST_CASE("a struct of each size gives its members in their order") {
  const auto check = [&](auto value, std::size_t n) { check_round_trip(value, n); };
  struct S3 {
    at::Tensor a, b, c;
  };
  struct S4 {
    at::Tensor a, b, c, d;
  };
  struct S5 {
    at::Tensor a, b, c, d, e;
  };
  struct S6 {
    at::Tensor a, b, c, d, e, f;
  };
  struct S7 {
    at::Tensor a, b, c, d, e, f, g;
  };
  check(S3{t[0], t[1], t[2]}, 3);
  check(S4{t[0], t[1], t[2], t[3]}, 4);
  check(S5{t[0], t[1], t[2], t[3], t[4]}, 5);
  check(S6{t[0], t[1], t[2], t[3], t[4], t[5]}, 6);
  check(S7{t[0], t[1], t[2], t[3], t[4], t[5], t[6]}, 7);
}

TEST_CASE("fields of a dictionary know their names, and come back as any dictionary") {
  const auto check = [](const auto& dict) {
    const Fields fields = dict;
    REQUIRE(fields.size() == 2);
    REQUIRE(fields.names().size() == 2);
    CHECK(fields.at("x").is_same(t[0]));
    CHECK(fields.at("mask").is_same(t[1]));
    const Fields again = fields.as<std::remove_cvref_t<decltype(dict)>>();
    CHECK(again.at("x").is_same(t[0]));
    CHECK(again.at("mask").is_same(t[1]));
  };
  check(std::map<std::string, at::Tensor>{{"x", t[0]}, {"mask", t[1]}});
  check(std::unordered_map<std::string, at::Tensor>{{"x", t[0]}, {"mask", t[1]}});
  check(torch::OrderedDict<std::string, at::Tensor>{{"x", t[0]}, {"mask", t[1]}});
  const Fields ordered = torch::OrderedDict<std::string, at::Tensor>{{"x", t[0]}, {"mask", t[1]}};
  CHECK(ordered.names() == std::vector<std::string>{"x", "mask"});
  CHECK(ordered.as<std::map<std::string, at::Tensor>>().at("mask").is_same(t[1]));
  check_same(ordered.as<Two>(), 2);  // by order, where names are not asked for
}

TEST_CASE("a name that is not there is an error that lists those that are") {
  const Fields fields = std::map<std::string, at::Tensor>{{"image", t[0]}, {"mask", t[1]}};
  CHECK_THROWS_MATCHES(fields.at("masks"), thaw::DataError,
                       MessageMatches(ContainsSubstring("\"masks\"") && ContainsSubstring("image, mask")));
  CHECK_THROWS_AS(Fields(t[0]).at("image"), thaw::DataError);
  CHECK(Fields(std::vector{t[0], t[1]}).names().empty());
}

TEST_CASE("one field is a tensor; none and several are none, and say so") {
  const Fields one = t[3];
  const at::Tensor& tensor = one;
  CHECK(tensor.is_same(t[3]));
  const auto as_tensor = [](const Fields& fields) { return static_cast<const at::Tensor&>(fields); };
  CHECK_THROWS_MATCHES(as_tensor({}), thaw::DataError, MessageMatches(ContainsSubstring("0 tensors")));
  CHECK_THROWS_MATCHES(as_tensor(std::pair{t[0], t[1]}), thaw::DataError,
                       MessageMatches(ContainsSubstring("2 tensors")));
  CHECK_THROWS_MATCHES(as_tensor(std::map<std::string, at::Tensor>{{"image", t[0]}, {"mask", t[1]}}), thaw::DataError,
                       MessageMatches(ContainsSubstring("image, mask")));
}

TEST_CASE("fields come back only as what has as many tensors, and as a dictionary only with names") {
  const Fields three = std::vector{t[0], t[1], t[2]};
  CHECK_THROWS_MATCHES(three.as<Two>(), thaw::DataError,
                       MessageMatches(ContainsSubstring("3 tensors for a struct of 2")));
  CHECK_THROWS_AS((Fields(t[0]).as<std::pair<at::Tensor, at::Tensor>>()), thaw::DataError);
  CHECK_THROWS_AS(three.as<at::Tensor>(), thaw::DataError);
  CHECK_THROWS_AS((three.as<std::map<std::string, at::Tensor>>()), thaw::DataError);
}

TEST_CASE("an undefined tensor is no field, but keeps its place among others") {
  CHECK(Fields().empty());
  CHECK(Fields(at::Tensor()).empty());
  CHECK(Fields(std::vector<at::Tensor>{}).empty());
  const Fields two = Two{.image = t[0], .mask = {}};
  REQUIRE(two.size() == 2);
  CHECK_FALSE(two[1].defined());
}

TEST_CASE("map changes each and keeps names; replace changes one, of this copy alone") {
  const Fields fields = torch::OrderedDict<std::string, at::Tensor>{{"x", t[1]}, {"y", t[2]}};
  const Fields doubled = fields.map([](const at::Tensor& tensor) { return tensor * 2; });
  CHECK(doubled.names() == fields.names());
  CHECK(doubled.at("x")[0].item<double>() == 2);
  CHECK(doubled.at("y")[0].item<double>() == 4);
  CHECK(fields[0].is_same(t[1]));

  Fields other = fields;
  other.replace(1, t[5]);
  CHECK(other.at("y").is_same(t[5]));
  CHECK(other[0].is_same(t[1]));
  CHECK(fields[1].is_same(t[2]));
}

TEST_CASE("the concept tells what is made of tensors from what is not") {
  STATIC_CHECK(thaw::FieldsLike<at::Tensor>);
  STATIC_CHECK(thaw::FieldsLike<std::vector<at::Tensor>>);
  STATIC_CHECK(thaw::FieldsLike<std::pair<at::Tensor, at::Tensor>>);
  STATIC_CHECK(thaw::FieldsLike<std::map<std::string, at::Tensor>>);
  STATIC_CHECK(thaw::FieldsLike<torch::OrderedDict<std::string, at::Tensor>>);
  STATIC_CHECK(thaw::FieldsLike<One>);
  STATIC_CHECK(thaw::FieldsLike<Eight>);
  STATIC_CHECK_FALSE(thaw::FieldsLike<int>);
  STATIC_CHECK_FALSE(thaw::FieldsLike<std::string>);
  STATIC_CHECK_FALSE(thaw::FieldsLike<const char*>);
  STATIC_CHECK_FALSE(thaw::FieldsLike<std::vector<int>>);
  STATIC_CHECK_FALSE(thaw::FieldsLike<std::map<std::string, int>>);
  STATIC_CHECK_FALSE(thaw::FieldsLike<std::map<int, at::Tensor>>);
  STATIC_CHECK_FALSE(thaw::FieldsLike<std::pair<at::Tensor, int>>);
  STATIC_CHECK_FALSE(thaw::FieldsLike<std::tuple<>>);
  STATIC_CHECK_FALSE(thaw::FieldsLike<Mixed>);
  STATIC_CHECK_FALSE(thaw::FieldsLike<Worded>);
  STATIC_CHECK_FALSE(thaw::FieldsLike<None>);
  STATIC_CHECK_FALSE(thaw::FieldsLike<Closed>);
  STATIC_CHECK_FALSE(thaw::FieldsLike<Nine>);
}
