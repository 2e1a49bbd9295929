// SPDX-License-Identifier: BSD-3-Clause
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>

#include <catch2/catch_test_macros.hpp>
#include <thaw/core/training_flags.hpp>

TEST_CASE("TrainingFlags put back each module's mode, where a parent and its child differ too") {
  torch::nn::Linear inner(1, 1), other(1, 1);
  torch::nn::Sequential outer(inner, other);
  outer->train();
  inner->eval();
  {
    const thaw::TrainingFlags flags(*outer);
    outer->eval();
    inner->train();
  }
  CHECK(outer->is_training());
  CHECK_FALSE(inner->is_training());
  CHECK(other->is_training());
}
