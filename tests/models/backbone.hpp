#pragma once

#include "models/parity.hpp"

#include <ATen/ops/equal.h>
#include <ATen/ops/randn.h>
#include <thaw/core/forward_part.hpp>
#include <thaw/groups/layer_groups.hpp>
#include <thaw/models/heads.hpp>

// What every network in thaw::models promises.
namespace thaw::test {

/// In eval mode the parts, one after the other, give what forward gives, hold every parameter once and, but for those
/// of a head, leave what they get alone: a U-Net keeps it.
template <class Model>
void check_parts(Model net, const at::Tensor& images, std::size_t parts, const std::string& last) {
  const at::NoGradGuard no_grad;
  net->eval();
  const auto all = thaw::forward_parts(net);
  CHECK(all.size() == parts);
  CHECK(all.back().name == last);
  thaw::ForwardPart::Tensors x{images};
  std::size_t parameters = 0;
  for (const thaw::ForwardPart& part : all) {
    const at::Tensor copy = x.back().clone();
    const auto y = part.forward(x);
    CAPTURE(part.name);
    CHECK((at::equal(x.back(), copy) || part.name.starts_with("head.")));
    for (const auto& module : part.modules) parameters += module->parameters().size();
    x = y;
  }
  CHECK(at::equal(x[0], net->forward(images)));
  CHECK(parameters == net->parameters().size());
}

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
