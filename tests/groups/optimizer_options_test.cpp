// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/groups/optimizer_options.hpp>

#include <torch/optim/lbfgs.h>

#include <catch2/catch_test_macros.hpp>

namespace optim = torch::optim;

TEST_CASE("momentum and weight decay are read and written where an optimizer has them, and nowhere else") {
  optim::SGDOptions sgd(0.1);
  optim::AdamOptions adam;
  optim::AdamWOptions adamw;
  optim::RMSpropOptions rmsprop;
  for (optim::OptimizerOptions* options :
       std::initializer_list<optim::OptimizerOptions*>{&sgd, &adam, &adamw, &rmsprop}) {
    thaw::write_momentum(*options, 0.87);
    CHECK(thaw::read_momentum(*options) == 0.87);
  }
  CHECK(sgd.momentum() == 0.87);
  CHECK(adam.betas() == std::tuple{0.87, 0.999});

  CHECK(thaw::read_weight_decay(sgd.weight_decay(0.1)) == 0.1);
  CHECK(thaw::read_weight_decay(adam.weight_decay(0.2)) == 0.2);
  CHECK(thaw::read_weight_decay(adamw.weight_decay(0.3)) == 0.3);
  CHECK(thaw::read_weight_decay(rmsprop.weight_decay(0.4)) == 0.4);
  CHECK(thaw::read_weight_decay(optim::AdagradOptions().weight_decay(0.5)) == 0.5);

  optim::LBFGSOptions lbfgs;
  thaw::write_momentum(lbfgs, 0.9);
  CHECK_FALSE(thaw::read_momentum(lbfgs));
  CHECK_FALSE(thaw::read_weight_decay(lbfgs));
  CHECK_FALSE(thaw::read_momentum(optim::AdagradOptions()));
}
