// SPDX-License-Identifier: BSD-3-Clause
// expect: thaw: the model needs a `forward` that takes one at::Tensor or several
#include <thaw/train/learner.hpp>
#include <thaw/train/loss.hpp>

struct NoForward : torch::nn::Module {};

void make(std::shared_ptr<NoForward> model) {
  thaw::Learner learner{model, thaw::LayerGroups::cut_before(model, {}), thaw::cross_entropy, {}};
}
