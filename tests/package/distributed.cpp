// SPDX-License-Identifier: BSD-3-Clause
// thaw::distributed brings all of thaw::thaw and what several processes need. Here there is one.
#include <torch/nn/modules/linear.h>

#include <ATen/ops/ones.h>
#include <cstdio>
#include <thaw/distributed/gradient_mean.hpp>
#include <thaw/groups/layer_groups.hpp>

int main() {
  const auto processes = thaw::distributed::init();
  const torch::nn::Linear model(2, 1);
  const auto groups = thaw::LayerGroups::cut_before(model, {});
  processes.broadcast(groups);
  thaw::distributed::GradientMean mean(processes, groups);
  mean.next_backward();
  const auto share = processes.share({.input = at::ones({3, 2}), .target = at::ones({3, 1})});
  std::printf("thaw: rank %lld of %lld\n", static_cast<long long>(processes.rank()),
              static_cast<long long>(processes.size()));
  return share.batch.size() == 3 && share.weight == 1 ? 0 : 1;
}
