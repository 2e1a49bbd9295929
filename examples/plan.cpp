// SPDX-License-Identifier: BSD-3-Clause
// What a plan will do, seen before it runs: as a table, as a picture (plan.svg), and the schedules that it could take
// (schedules.svg). Nothing is trained; no weights and no data are fetched.

#include <fmt/format.h>

#include <ATen/ops/zeros.h>

#include <cstdlib>
#include <filesystem>
#include <thaw/models/resnet.hpp>
#include <thaw/thaw.hpp>
#include <vector>

int main(int argc, char** argv) try {
  const std::filesystem::path folder = argc > 1 ? argv[1] : ".";
  auto model = thaw::models::resnet18();
  auto groups = thaw::LayerGroups::cut_before(model, {"layer2", "layer3", "layer4", "fc"});
  const thaw::InMemory data({.input = at::zeros({1600, 3, 32, 32}), .target = at::zeros({1600}, at::kLong)});
  thaw::Learner learner{model, groups, thaw::cross_entropy, {.train = data}};

  const std::vector<thaw::Stage> plan{
      {.name = "head", .epochs = 2, .freeze = thaw::FreezeTo{-1}, .lr = 3e-3},
      {.name = "gradual",
       .epochs = 6,
       .freeze = thaw::GradualUnfreeze{.every = thaw::Epochs{1}},
       .lr = thaw::DiscriminativeLR::slice(1e-5, 1e-3)},
      {.name = "surgical", .epochs = 2, .freeze = thaw::Only{{0, -1}}, .lr = 1e-4, .schedule = thaw::Cosine{}},
  };
  const auto described = learner.describe(plan);
  fmt::print("{}", thaw::to_text(thaw::plan_table(described)));  // fmt::print("{}", described) adds what looks wrong
  thaw::write_svg(described, folder / "plan.svg");

  thaw::write_svg(thaw::SchedulePlot{{{"OneCycle", thaw::OneCycle{}},
                                      {"FlatCosine", thaw::FlatCosine{}},
                                      {"SlantedTriangular", thaw::SlantedTriangular{}},
                                      {"CosineRestarts", thaw::CosineRestarts{}},
                                      {"StepDecay", thaw::StepDecay{.every_epochs = 4, .gamma = 0.5}}}},
                  folder / "schedules.svg");
  fmt::print("pictures: {} and {}\n", (folder / "plan.svg").string(), (folder / "schedules.svg").string());
} catch (const thaw::Error& error) {
  fmt::print(stderr, "{}\n", error.what());
  return EXIT_FAILURE;
}
