// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/report/plan_table.hpp>

#include <catch2/catch_test_macros.hpp>

TEST_CASE("a plan is a table of stages and groups, with its notes below") {
  const std::vector<thaw::StageDescription> plan{
      {.name = "head",
       .epochs = 3,
       .steps_per_epoch = 1063,
       .groups = {{.name = "stem", .parameters = 55504, .first_step = -1},
                  {.name = "head", .parameters = 1321984, .trained = 1321984, .lr = 3e-3}},
       .rates = {{}, {.first = 1.2e-4, .highest = 3e-3, .last = 3e-8}},
       .momentum = {{.lowest = 0.85, .highest = 0.95}}},
      {.name = "gradual",
       .epochs = 2,
       .steps_per_epoch = 100,
       .groups = {{.name = "stem", .parameters = 55504, .trained = 55504, .lr = 1e-4, .first_step = 150},
                  {.name = "head", .parameters = 1321984, .trained = 1321984, .lr = 1e-3, .first_step = 100}},
       .rates = {{.first = 5e-5, .highest = 1e-4, .last = 0}, {.first = 1e-3, .highest = 1e-3, .last = 1e-3}},
       .norm = thaw::hold_everywhere,
       .notes = {"something looks wrong"}}};
  using thaw::detail::when_trained;
  CHECK(when_trained({.trained = 64, .thawed_step = -1}, 100) == "norm layers only");
  CHECK(when_trained({.trained = 640, .thawed_step = 200}, 100) == "norm layers, all from epoch 3");
  CHECK(fmt::format("{}", plan) ==
        "stage    epochs x steps  norm              momentum  group                   trained         of  first rate  "
        "highest    last\n"
        "-------  --------------  ------------  ------------  -----  -------------  ---------  ---------  ----------  "
        "-------  ------\n"
        "head          3 x 1,063  hold / train  0.85 to 0.95  stem   frozen                 0     55,504           -  "
        "      -       -\n"
        "                                                     head   trains         1,321,984  1,321,984      1.2e-4  "
        " 3.0e-3  3.0e-8\n"
        "gradual         2 x 100  hold / hold       as it is  stem   from step 151     55,504     55,504      5.0e-5  "
        " 1.0e-4       0\n"
        "                                                     head   from epoch 2   1,321,984  1,321,984      1.0e-3  "
        " 1.0e-3  1.0e-3\n"
        "note, stage gradual: something looks wrong\n");
}
