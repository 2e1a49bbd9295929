// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/train/learner.hpp>

#include <torch/csrc/jit/serialization/import.h>

#include <catch2/catch_test_macros.hpp>
#include <thaw/data/in_memory.hpp>
#include <thaw/groups/script_module.hpp>
#include <thaw/train/loss.hpp>

#include "support/data.hpp"
#include "support/nets.hpp"

TEST_CASE("a Learner trains a TorchScript module in stages; the script sees the new weights") {
  at::manual_seed(1);
  thaw::ScriptModule model(torch::jit::load(thaw::test::fixture("groups/scripted.pt").string()));
  const auto names = thaw::LayerGroups::per_child(model);
  const at::Tensor input = at::randn({24, 2, 4, 4});
  const at::Tensor output = model->forward(input);
  const std::int64_t classes = output.size(1);
  const at::Tensor target = input.mean({1, 2, 3}).gt(0).to(at::kLong) % classes;
  thaw::Learner learner{model,
                        names,
                        thaw::cross_entropy,
                        {.train = thaw::InMemory({.input = input, .target = target, .batch_size = 8})}};

  const auto before = thaw::test::state_of(*model);
  learner.fit({.name = "head", .epochs = 1, .freeze = thaw::FreezeTo{-1}, .lr = 1e-2});
  const std::string head = names[names.size() - 1].name;
  for (const std::string& name : thaw::test::changed(before, *model)) CHECK(name.starts_with(head));
  const thaw::EpochRecord last = learner.fit({.name = "all", .epochs = 5, .freeze = thaw::Unfrozen{}, .lr = 1e-2});
  CHECK(last.train_loss < learner.history().epochs[0].train_loss);
  for (const thaw::LayerGroup& group : names)
    CHECK(thaw::test::any_starts_with(thaw::test::changed(before, *model), group.name));

  model->eval();
  // the script's own executor may fuse, and round otherwise
  CHECK(at::allclose(torch::jit::Module(model->script()).forward({input}).toTensor(), learner.predict(input), 1e-5,
                     1e-6));
}
