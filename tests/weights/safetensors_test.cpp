// SPDX-License-Identifier: BSD-3-Clause
#include <fmt/format.h>
#include <malloc.h>

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <thaw/weights/safetensors.hpp>
#include <vector>

#include "files.hpp"

using Catch::Matchers::ContainsSubstring;

namespace {

std::string file_of(const std::string& header, std::size_t data_size) {
  const std::uint64_t length = header.size();
  std::string bytes(sizeof length, '\0');
  std::memcpy(bytes.data(), &length, sizeof length);
  return bytes + header + std::string(data_size, '\0');
}

std::string failure(const std::string& header, std::size_t data_size) {
  const std::string bytes = file_of(header, data_size);
  return thaw::test::complaint([&] { (void)thaw::detail::read_safetensors(thaw::detail::Source{"memory", bytes}); });
}

/// So many tensors of two floats, each aligned.
std::string file_of_many(int count) {
  std::string header = "{";
  for (int i = 0; i < count; ++i) {
    header += fmt::format(R"({}"encoder.layer{}.weight":{{"dtype":"F32","shape":[2],"data_offsets":[{},{}]}})",
                          i == 0 ? "" : ",", i, 8 * i, 8 * i + 8);
  }
  header += '}';
  header.resize((header.size() + 7) / 8 * 8, ' ');
  return file_of(header, static_cast<std::size_t>(8 * count));
}

}  // namespace

// What good files hold is in read_weights_test.cpp, for all formats alike.

TEST_CASE("A safetensors file's tensors come in the order of their bytes") {
  const std::string header =
      R"({"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"U8","shape":[],"data_offsets":[8,9]}})";
  const std::string bytes = file_of(header, 9);
  const auto state = thaw::detail::read_safetensors(thaw::detail::Source{"memory", bytes});
  CHECK(state.names() == std::vector<std::string>{"b", "a"});
  CHECK(state.at("a").dim() == 0);
}

TEST_CASE("A safetensors file may be empty, or hold metadata alone") {
  CHECK(failure("{}", 0).empty());
  CHECK(failure(R"({"__metadata__":{"format":"pt"}})", 0).empty());
}

TEST_CASE("read_safetensors reads no other format") {
  CHECK_THROWS_AS(thaw::read_safetensors(thaw::test::weights("net.pth")), thaw::FileError);
}

TEST_CASE("Headers that are no JSON objects are errors") {
  CHECK_THAT(failure("{", 0), ContainsSubstring("is no JSON"));
  CHECK_THAT(failure("{\"a\":\xff}", 0), ContainsSubstring("is no JSON"));
  CHECK_THAT(failure(R"({"a":)" + std::string(100'000, '['), 0), ContainsSubstring("is no JSON"));
}

TEST_CASE("A header longer than the file is an error") {
  std::string bytes = file_of("{}", 0);
  bytes[0] = 3;
  CHECK_THAT(thaw::test::complaint([&] { (void)thaw::test::parse(bytes); }), ContainsSubstring("it ends too early"));
}

TEST_CASE("A name that is there twice is an error") {
  const std::string tensor = R"("a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]})";
  CHECK_THAT(failure("{" + tensor + "," + tensor + "}", 1), ContainsSubstring("'a' is there twice"));
}

TEST_CASE("A key that is there twice in a tensor's description is an error, and so are metadata twice") {
  CHECK_THAT(failure(R"({"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1),
             ContainsSubstring("describes 'a' wrongly"));
  CHECK_THAT(failure(R"({"__metadata__":{},"__metadata__":{}})", 0),
             ContainsSubstring("'__metadata__' is there twice"));
}

TEST_CASE("Keys that are not known are passed over, with all that is in them") {
  CHECK(failure(R"({"a":{"x":{"dtype":[7,{"shape":1}]},"dtype":"U8","y":[[1,-2.5],null,true],"shape":[1],)"
                R"("data_offsets":[0,1]},"__metadata__":{"z":"1"}})",
                1)
            .empty());
}

TEST_CASE("Many tensors take time in proportion to their number") {
  const auto seconds = [](int count) {
    const std::string bytes = file_of_many(count);
    const auto begin = std::chrono::steady_clock::now();
    const auto state = thaw::detail::read_safetensors(thaw::detail::Source{"memory", bytes});
    CHECK(state.size() == static_cast<std::size_t>(count));
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  (void)seconds(1'000);  // warm
  const double few = seconds(10'000);
  CHECK(seconds(100'000) < 40 * few);  // ten times as many; were it quadratic, 100 times as long
}

TEST_CASE("Of many tensors their names are kept once, beside LibTorch's own objects") {
#ifdef THAW_ADDRESS_SANITIZER
  SKIP("AddressSanitizer has memory of its own, which mallinfo2 does not see");
#endif
  constexpr int count = 100'000;
  const auto bytes = std::make_shared<std::string>(file_of_many(count));
  const thaw::detail::Source source{"memory", *bytes, bytes};
  const auto kept = [](auto make) {  // bytes for each tensor
    const std::size_t before = ::mallinfo2().uordblks;
    const auto all = make();
    CHECK(all.size() == count);
    return static_cast<double>(::mallinfo2().uordblks - before) / count;
  };
  const double tensors = kept([&] {
    std::vector<at::Tensor> all(count);
    for (at::Tensor& each : all)
      each = at::empty({0}).set_(thaw::detail::storage_of(source, source.slice(0, 8)), 0, {2});
    return all;
  });
  CHECK(kept([&] { return thaw::detail::read_safetensors(source); }) < tensors + 170);
}

TEST_CASE("Tensors must cover the data without gap or overlap") {
  const auto two = [](int begin, int end) {
    return R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[)" +
           std::to_string(begin) + "," + std::to_string(end) + "]}}";
  };
  CHECK(failure(two(2, 4), 4).empty());
  CHECK_THAT(failure(two(1, 3), 3), ContainsSubstring("overlaps"));
  CHECK_THAT(failure(two(3, 5), 5), ContainsSubstring("gap"));
  CHECK_THAT(failure(two(2, 4), 5), ContainsSubstring("take 4 bytes, but it has 5"));
  CHECK_THAT(failure(two(2, 4), 3), ContainsSubstring("take 4 bytes, but it has 3"));
}

TEST_CASE("Sizes that are wrong, huge or no numbers are errors") {
  for (const std::string tensor :
       {R"({"dtype":"F32","shape":[3],"data_offsets":[0,8]})", R"({"dtype":"F32","shape":[-2],"data_offsets":[0,8]})",
        R"({"dtype":"F32","shape":[1.5],"data_offsets":[0,8]})",
        R"({"dtype":"F32","shape":["2"],"data_offsets":[0,8]})", R"({"dtype":"F32","shape":[2],"data_offsets":[8,0]})",
        R"({"dtype":"F32","shape":[2],"data_offsets":[0]})", R"({"dtype":"F32","shape":[2],"data_offsets":[-8,0]})",
        R"({"dtype":"F32","shape":2,"data_offsets":[0,8]})", R"({"dtype":32,"shape":[2],"data_offsets":[0,8]})",
        R"({"shape":[2],"data_offsets":[0,8]})", "[]", "7",
        R"({"dtype":"F32","shape":[4611686018427387906],"data_offsets":[0,8]})",
        R"({"dtype":"F32","shape":[4294967296,4294967296,2],"data_offsets":[0,8]})",
        R"({"dtype":"F32","shape":[0,9223372036854775807,9223372036854775807],"data_offsets":[0,0]})",
        R"({"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,8]})"}) {
    INFO(tensor);
    CHECK_THAT(failure(R"({"a":)" + tensor + "}", 8), ContainsSubstring("is damaged"));
  }
}

TEST_CASE("Types that LibTorch lacks are named") {
  CHECK_THAT(failure(R"({"a":{"dtype":"F4","shape":[2],"data_offsets":[0,1]}})", 1), ContainsSubstring("'F4'"));
}
