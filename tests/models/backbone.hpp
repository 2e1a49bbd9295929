// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "models/parity.hpp"
#include "models/parts.hpp"

#include <ATen/ops/equal.h>
#include <ATen/ops/randn.h>
#include <thaw/groups/layer_groups.hpp>
#include <thaw/models/heads.hpp>

// What every network in thaw::models promises.
namespace thaw::test {

/// Images [2, 1, 47, 65] of a network for grey images and three classes: features of `shape`, logits.
template <class Model>
void check_grey(Model net, at::IntArrayRef shape) {
  const at::NoGradGuard no_grad;
  net->eval();
  const at::Tensor images = at::randn({2, 1, 47, 65}), copy = images.clone();
  CHECK(net->features(images).sizes() == shape);
  CHECK(net->head_features() == shape[1]);
  CHECK(net->forward(images).sizes() == at::IntArrayRef{2, 3});
  CHECK(at::equal(images, copy));
}

/// Three groups, of which the last is the new head; `first` and `second` are their numbers of weights.
template <class Model>
void check_cuts(Model net, const std::vector<std::string>& cuts, std::int64_t first, std::int64_t second) {
  thaw::models::replace_head(net, 5);
  const auto groups = thaw::LayerGroups::cut_before(net, cuts);
  REQUIRE(groups.size() == 3);
  CHECK(groups[0].numel() == first);
  CHECK(groups[1].numel() == second);
  CHECK(groups[2].numel() == count(*net->head));
  thaw::models::replace_head(net, thaw::models::linear_head(net->head_features(), 4));
  net->eval();
  CHECK(net->forward(at::randn({1, 3, 32, 32})).sizes() == at::IntArrayRef{1, 4});
}

}  // namespace thaw::test
