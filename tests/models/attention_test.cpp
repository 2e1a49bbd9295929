// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/models/attention.hpp>

#include <ATen/Context.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/softmax.h>
#include <cmath>
#include <vector>

#include <catch2/catch_test_macros.hpp>

using thaw::models::attend;

namespace {

struct Inputs {
  at::Tensor q = at::randn({2, 5, 6}, at::kDouble), k = at::randn({2, 5, 6}, at::kDouble);
  at::Tensor v = at::randn({2, 5, 6}, at::kDouble);
};

}  // namespace

TEST_CASE("attend: each head's weights are the softmax of its scaled products") {
  const Inputs x;
  std::vector<at::Tensor> heads;
  for (const std::int64_t begin : {0, 3}) {
    const auto part = [&](const at::Tensor& whole) { return whole.slice(2, begin, begin + 3); };
    const at::Tensor scores = at::matmul(part(x.q), part(x.k).transpose(1, 2)) / std::sqrt(3.0);
    heads.push_back(at::matmul(at::softmax(scores, -1), part(x.v)));
  }
  CHECK(at::allclose(attend(x.q, x.k, x.v, 2), at::cat(heads, 2)));
  CHECK_FALSE(at::allclose(attend(x.q, x.k, x.v, 1), at::cat(heads, 2)));
}

TEST_CASE("attend: keys that the mask hides do not matter") {
  const Inputs x;
  at::Tensor mask = at::ones({2, 1, 1, 5}, at::kBool);
  mask.select(0, 1).slice(2, 3).fill_(false);  // of the second example the last two
  const at::Tensor y = attend(x.q, x.k, x.v, 2, 0, mask);
  CHECK(at::allclose(y[0], attend(x.q, x.k, x.v, 2)[0]));
  CHECK(at::allclose(y[1], attend(x.q, x.k.slice(1, 0, 3), x.v.slice(1, 0, 3), 2)[1]));
}

TEST_CASE("attend: dropout takes weights away, and scales the others") {
  Inputs x;
  x.v.fill_(1);
  at::manual_seed(1);
  const at::Tensor sum = attend(x.q, x.k, x.v, 2, 0.5);
  CHECK(sum.min().item<double>() < 0.9);
  CHECK(sum.max().item<double>() > 1.1);
  CHECK(at::allclose(attend(x.q, x.k, x.v, 2), x.v));
}
