// Weight files come from strangers: whatever is in them, the readers load it or throw thaw::Error. Run under
// ASan/UBSan.

#include <ATen/Functions.h>

#include <catch2/catch_test_macros.hpp>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <thaw/weights/read_weights.hpp>

#include "files.hpp"

namespace {

/// Reads all elements too: a view beyond its storage would be seen by the sanitizer.
bool loads(std::string_view bytes) {
  try {
    for (const auto& [name, tensor] : thaw::test::parse(bytes)) {
      constexpr std::int64_t most = 1 << 20;  // expanded tensors may claim any number of elements
      if (tensor.numel() < most) (void)tensor.clone(at::MemoryFormat::Contiguous);
    }
    return true;
  } catch (const thaw::Error&) {
    return false;
  }
}

const std::vector<std::string>& samples() {
  static const std::vector<std::string> names = {
      "ordered_dict.pth",  "ordered_dict.legacy.pth", "views.pth",       "views.legacy.pth", "shapes.pth",
      "dtypes.legacy.pth", "nested_model.legacy.pth", "net.safetensors", "protocol4.pth"};
  return names;
}

}  // namespace

TEST_CASE("A file cut anywhere is an error") {
  for (const auto& name : {"ordered_dict.pth", "ordered_dict.legacy.pth", "net.safetensors"}) {
    INFO(name);
    const std::string whole = thaw::test::bytes_of(thaw::test::weights(name));
    REQUIRE(loads(whole));
    std::size_t survived = 0;
    for (std::size_t size = 0; size < whole.size(); ++size) {
      const std::string cut = whole.substr(0, size);  // its own buffer, so that reading on would be seen
      survived += loads(cut) ? 1 : 0;
    }
    CHECK(survived == 0);
  }
}

TEST_CASE("Records that overlap cannot multiply a file's size") {
  const std::string message =
      thaw::test::complaint([] { (void)thaw::read_weights(thaw::test::weights("overlap.pth")); });
  CHECK(message.find("its records overlap") != std::string::npos);
}

TEST_CASE("A file with flipped bytes loads or is an error") {
  std::mt19937 random(20240607);
  for (const auto& name : samples()) {
    INFO(name);
    const std::string whole = thaw::test::bytes_of(thaw::test::weights(name));
    std::size_t loaded = 0;
    for (int round = 0; round < 1000; ++round) {
      std::string damaged = whole;
      const std::size_t flips = 1 + random() % 4;
      for (std::size_t i = 0; i < flips; ++i) damaged[random() % damaged.size()] = static_cast<char>(random());
      loaded += loads(damaged) ? 1 : 0;
    }
    CHECK(loaded < 1000);
  }
}

TEST_CASE("A file with bytes moved, doubled or left out loads or is an error") {
  std::mt19937 random(7);
  for (const auto& name : samples()) {
    INFO(name);
    const std::string whole = thaw::test::bytes_of(thaw::test::weights(name));
    for (int round = 0; round < 200; ++round) {
      std::string damaged = whole;
      const std::size_t from = random() % whole.size(), to = random() % whole.size(), count = random() % 64;
      const std::string piece = whole.substr(from, count);
      if (random() % 2 == 0) damaged.erase(from, count);
      damaged.insert(std::min(to, damaged.size()), piece);
      (void)loads(damaged);
    }
  }
  SUCCEED("survived");
}
