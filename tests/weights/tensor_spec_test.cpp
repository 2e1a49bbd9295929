// SPDX-License-Identifier: BSD-3-Clause
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cstdint>
#include <limits>
#include <string>
#include <thaw/weights/detail/tensor_spec.hpp>

#include "files.hpp"

using Catch::Matchers::ContainsSubstring;
using thaw::detail::TensorSpec;

namespace {

constexpr std::int64_t huge = std::numeric_limits<std::int64_t>::max();
const thaw::detail::Source source{"memory", {}};

/// A view of a storage of six floats.
TensorSpec view(std::uint64_t offset, std::vector<std::int64_t> sizes, std::vector<std::int64_t> strides) {
  return {.storage = {.key = "0", .dtype = at::kFloat, .bytes = 24, .view_begin = 0, .view_end = 24},
          .dtype = at::kFloat,
          .offset = offset,
          .sizes = std::move(sizes),
          .strides = std::move(strides)};
}

bool fits(const TensorSpec& spec) {
  return thaw::test::complaint([&] { (void)thaw::detail::checked_offset(source, spec); }).empty();
}

}  // namespace

TEST_CASE("Views inside their storage pass") {
  CHECK(fits(view(0, {2, 3}, {3, 1})));
  CHECK(fits(view(0, {3, 2}, {1, 3})));
  CHECK(fits(view(5, {}, {})));
  CHECK(fits(view(5, {1}, {huge})));  // a stride that no element is reached by
  CHECK(fits(view(0, {1000, 6}, {0, 1})));
  CHECK(fits(view(6, {0, 4}, {4, 1})));
}

TEST_CASE("Views beyond their storage are errors") {
  CHECK_FALSE(fits(view(1, {2, 3}, {3, 1})));
  CHECK_FALSE(fits(view(6, {}, {})));
  CHECK_FALSE(fits(view(7, {0}, {1})));
  CHECK_FALSE(fits(view(0, {7}, {1})));
  CHECK_FALSE(fits(view(0, {2, 2}, {5, 1})));
}

TEST_CASE("Sizes that overflow are errors") {
  CHECK_FALSE(fits(view(static_cast<std::uint64_t>(huge), {}, {})));
  CHECK_FALSE(fits(view(0, {huge}, {huge})));
  CHECK_FALSE(fits(view(0, {1 << 30, 1 << 30, 1 << 30}, {0, 0, 0})));
  CHECK_FALSE(fits(view(0, {0, huge, huge}, {1, 1, 1})));
  CHECK_FALSE(fits(view(0, {2, 3}, {1})));
}

TEST_CASE("A view of a view stays inside the latter") {
  TensorSpec spec = view(0, {2}, {1});
  spec.storage.view_begin = 8;
  spec.storage.view_end = 16;
  CHECK(thaw::detail::checked_offset(source, spec) == 2);
  spec.sizes = {3};
  CHECK_FALSE(fits(spec));
}

TEST_CASE("An unaligned view is an error") {
  TensorSpec spec = view(0, {1}, {1});
  spec.storage.view_begin = 2;
  CHECK_FALSE(fits(spec));
}
