// SPDX-License-Identifier: BSD-3-Clause
// A run that may be killed at any time and started again with the same words, until it prints how it ended:
//
//     run_to_kill <scenario> <folder> [asynchronous]
//
// Its last line is "ended <digits>": a checksum of weights, optimizer, history and the CSV file, without the seconds.
// tools/torture.sh does the killing.

#include <torch/data/dataloader.h>
#include <torch/data/datasets/map.h>
#include <torch/data/samplers/random.h>
#include <torch/data/transforms/stack.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/linear.h>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <fmt/format.h>

#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <thaw/checkpoint/checkpoint.hpp>
#include <thaw/checkpoint/detail/checksum.hpp>
#include <thaw/data/in_memory.hpp>
#include <thaw/data/prefetch.hpp>
#include <thaw/groups/gradual_unfreeze.hpp>
#include <thaw/optim/sgd.hpp>
#include <thaw/report/csv_log.hpp>
#include <thaw/train/early_stop.hpp>
#include <thaw/train/gradient_accumulation.hpp>
#include <thaw/train/loss.hpp>
#include <thaw/train/metric.hpp>
#include <thaw/train/mixup.hpp>
#include <thaw/train/save_best.hpp>
#include <thaw/train/weight_average.hpp>
#include <vector>

#include "support/samples.hpp"

namespace {

constexpr std::int64_t width = 64;

at::Tensor numbers(std::int64_t n, std::uint64_t seed) {
  return at::randn({n, 20}, at::make_generator<at::CPUGeneratorImpl>(seed), at::kFloat);
}
at::Tensor classes(std::int64_t n, std::uint64_t seed) {
  return at::randint(0, 5, {n}, at::make_generator<at::CPUGeneratorImpl>(seed), at::kLong);
}
thaw::InMemory data(thaw::Transform transform = {}) {
  return thaw::InMemory({.input = numbers(1500, 1),
                         .target = classes(1500, 2),
                         .batch_size = 16,
                         .shuffle = true,
                         .transform = std::move(transform)});
}

std::vector<thaw::Stage> head_then_all() {
  return {{.name = "head", .epochs = 2, .freeze = thaw::FreezeTo{-1}, .lr = 1e-2},
          {.name = "all",
           .epochs = 3,
           .freeze = thaw::Unfrozen{},
           .lr = thaw::DiscriminativeLR::slice(1e-4, 1e-2),
           .norm = thaw::hold_everywhere}};
}

/// How a scenario trains: its data, its optimizer, and the fit.
struct Scenario {
  std::function<thaw::DataSource()> train = [] { return data(); };
  std::function<std::unique_ptr<torch::optim::Optimizer>(const thaw::LayerGroups&)> optimizer = {};
  std::function<void(thaw::Learner&, const std::string& folder)> fit;
};

const std::map<std::string, Scenario>& scenarios() {
  static const std::map<std::string, Scenario> all{
      {"stages",
       {.fit = [](thaw::Learner& learner,
                  const std::string&) { learner.fit(head_then_all(), thaw::EarlyStop{.patience = 9}); }}},
      {"ema",
       {.fit =
            [](thaw::Learner& learner, const std::string& folder) {
              learner.fit(head_then_all(), thaw::EMA{.decay = .95}, thaw::GradientAccumulation{2},
                          thaw::SaveBest{folder + "/best_epoch.pt"});
            }}},
      {"unfreeze",
       {.optimizer =
            [](const thaw::LayerGroups& groups) {
              return std::make_unique<thaw::SGD>(groups, torch::optim::SGDOptions(0.1).momentum(.9));
            },
        .fit =
            [](thaw::Learner& learner, const std::string&) {
              learner.fit(
                  {.name = "unfreeze", .epochs = 4, .freeze = thaw::GradualUnfreeze{.every = thaw::Epochs{1}}, .lr = 1e-2},
                  thaw::MixUp{}, thaw::SWA{});
            }}},
      {"cached",
       {.train =
            [] {
              return thaw::DataSource(thaw::Prefetch{data([](const thaw::Fields& x, at::Generator random) {
                return thaw::Fields(x[0] + .1 * at::randn(x[0].sizes(), random, at::kFloat));
              })});
            },
        .fit =
            [](thaw::Learner& learner, const std::string&) {
              std::vector<thaw::Stage> plan = head_then_all();
              plan[0].cache = {.where = thaw::Cache::Where::memory, .passes = 2};
              learner.fit(plan);
            }}},
      {"workers",
       {.train =
            [] {
              return thaw::DataSource(torch::data::make_data_loader<torch::data::samplers::RandomSampler>(
                  thaw::test::Samples(numbers(1500, 1), classes(1500, 2)).map(torch::data::transforms::Stack<>()),
                  torch::data::DataLoaderOptions(16).workers(2)));
            },
        .fit = [](thaw::Learner& learner, const std::string&) { learner.fit(head_then_all()); }}},
      {"fits", {.fit = [](thaw::Learner& learner, const std::string&) {
         learner.freeze();
         learner.fit({.name = "head", .epochs = 2, .lr = 1e-2});
         learner.unfreeze();
         const thaw::LRCurve curve = learner.find_lr({.steps = 30});
         learner.fit({.name = "all", .epochs = 3, .lr = curve.lr.at(10)});
       }}}};
  return all;
}

/// All that must be as in a run that was not interrupted.
std::string ending(thaw::Learner& learner, const std::string& csv) {
  thaw::detail::Checksum sum;
  for (const auto& [name, tensor] : learner.run_state()) {
    if (name.ends_with("seconds") || name == "run" || name == "states taken") continue;
    if (name.ends_with("CsvLog of the Learner/size")) continue;  // seconds have more or fewer digits
    const at::Tensor flat = tensor.contiguous();
    sum.add(name);
    sum.add({static_cast<const char*>(flat.const_data_ptr()), flat.nbytes()});
  }
  std::ifstream file(csv);
  for (std::string row; std::getline(file, row);) {
    for (std::size_t column = 0, at = 0; at != std::string::npos && at <= row.size(); ++column) {
      const std::size_t end = row.find(',', at);
      if (column != 5) sum.add(row.substr(at, end - at) + ",");  // the seconds
      at = end == std::string::npos ? end : end + 1;
    }
    sum.add("\n");
  }
  std::string digits;
  for (const char byte : sum.digest()) digits += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  return digits;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 3 || !scenarios().contains(argv[1])) return fmt::print("which scenario, and which folder?\n"), 2;
  const Scenario& scenario = scenarios().at(argv[1]);
  const std::string folder = argv[2];
  thaw::seed(7);
  torch::nn::Sequential net{torch::nn::Linear(20, width),    torch::nn::BatchNorm1d(width),
                            torch::nn::Linear(width, width), torch::nn::Dropout(.3),
                            torch::nn::BatchNorm1d(width),   torch::nn::Linear(width, 5)};
  thaw::LearnerOptions options{
      .train = scenario.train(),
      .valid = thaw::InMemory({.input = numbers(100, 3), .target = classes(100, 4), .batch_size = 32}),
      .metrics = {thaw::accuracy()},
      .callbacks = {thaw::CsvLog{folder + "/log.csv"}, thaw::Checkpoint{.dir = folder + "/checkpoints",
                                                                        .every = {.epochs = 1, .steps = 2},
                                                                        .best = "accuracy",
                                                                        .asynchronous = argc > 3}}};
  if (scenario.optimizer) options.optimizer = scenario.optimizer;
  thaw::Learner learner{net, thaw::LayerGroups::cut_before(net, {"2", "5"}), thaw::cross_entropy, options};
  const thaw::ResumeReport report = thaw::resume(learner, folder + "/checkpoints");
  for (const std::string& damaged : report.passed_over) fmt::print("passed over {}\n", damaged);
  if (report) fmt::print("from {}\n", report.from.string());
  std::fflush(stdout);
  scenario.fit(learner, folder);
  fmt::print("ended {}\n", ending(learner, folder + "/log.csv"));
} catch (const thaw::Error& error) {
  fmt::print("error {}\n", error.what());
  return EXIT_FAILURE;
}
