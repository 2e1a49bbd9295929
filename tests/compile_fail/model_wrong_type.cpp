// SPDX-License-Identifier: BSD-3-Clause
// expect: thaw: a model must be a torch::nn::ModuleHolder
#include <thaw/groups/layer_groups.hpp>

auto groups = thaw::LayerGroups::cut_before(42, {"head"});
