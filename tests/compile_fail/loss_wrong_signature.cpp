// SPDX-License-Identifier: BSD-3-Clause
// expect: thaw: a loss must be callable as
#include <thaw/train/learner.hpp>

void make(torch::nn::Sequential model) {
  thaw::Learner learner{model, thaw::LayerGroups::cut_before(model, {}), [](const at::Tensor& x) { return x; }, {}};
}
