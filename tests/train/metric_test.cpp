#include <thaw/train/metric.hpp>

#include <ATen/ops/tensor.h>
#include <catch2/catch_test_macros.hpp>

TEST_CASE("accuracy is the fraction of samples whose largest output is the target's") {
  const at::Tensor output = at::tensor({1., 2., 0., 5., 1., 0., 0., 0., 1., 3., 1., 2.}).reshape({4, 3});
  CHECK(thaw::accuracy().name == "accuracy");
  CHECK(thaw::accuracy().mean(output, at::tensor({1, 0, 2, 1}, at::kLong)).item<double>() == 0.75);
}
