#include <thaw/weights/load.hpp>

#include <catch2/catch_test_macros.hpp>
#include <support/data.hpp>

TEST_CASE("real files") {
  auto state = thaw::read_weights(thaw::test::fetched("efficientnet-lite0-57934424.pth"));
  CHECK(state.size() == 296);
  CHECK(state.at("_fc.weight").sizes() == at::IntArrayRef({1000, 1280}));
  auto r = thaw::read_weights(thaw::test::test_data("resnet20-cifar10.th"));
  for (auto& [n, t] : r) UNSCOPED_INFO(n << t.sizes());
  CHECK(r.contains("conv1.weight"));
}
