// SPDX-License-Identifier: BSD-3-Clause
// One cell of the regret benchmark: a data set, frozen or thawed, a seed. Prints lines of JSON; regret.py runs it,
// keeps the lines and makes the table of docs/outcome.md.
//
//   build/bench/benchmarks/regret --job '{"data": "cats-dogs", "what": "thawed", "rates": [1e-4, 1e-3], ...}'
//
//   head    accuracy of the head alone, trained on cached features: where `thawed` begins
//   sweep   the finder's curve, and what each rule says of it
//   rate    accuracy after training at a rate: of a grid, the same for all rules

#include "few_images.hpp"

#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>

#include <string>
#include <thaw/train/weight_copy.hpp>
#include <thaw/vision/image_source.hpp>
#include <thaw/vision/resize.hpp>
#include <utility>
#include <vector>

namespace {

namespace vision = thaw::vision;
using nlohmann::json;
using thaw::DiscriminativeLR;

/// What regret.py asks for.
struct Job {
  std::string what = "thawed";
  std::int64_t head_epochs = 10, epochs = 5;
  int size = 64;
  bool sweep = true;
  std::vector<double> rates;
  NLOHMANN_DEFINE_TYPE_INTRUSIVE_WITH_DEFAULT(Job, what, head_epochs, epochs, size, sweep, rates)
};

/// Decoded once; what is measured is rates, not augmentation.
thaw::InMemory in_memory(const vision::ImageList& list, const Job& job, std::uint64_t seed, bool train) {
  const vision::ImageSource source(
      {.images = list, .transforms = {vision::Resize{job.size}}, .normalization = thaw::lite_statistics, .workers = 1});
  std::vector<at::Tensor> input, target;
  for (thaw::BatchStream next = source.in_order(); const auto batch = next();) {
    input.push_back(batch->input[0].clone());
    target.push_back(batch->target[0].clone());
  }
  return thaw::InMemory(
      {.input = at::cat(input), .target = at::cat(target), .batch_size = 32, .shuffle = train, .seed = seed});
}

void run(const bench::FewImages& few, const Job& job) {
  cv::setNumThreads(1);
  const bool thawed = job.what == "thawed";
  const vision::Split split = bench::split(few);
  const thaw::InMemory train = in_memory(split.train, job, few.seed, true);
  const thaw::InMemory valid = in_memory(split.valid, job, few.seed, false);
  const auto model = bench::network(few, std::ssize(split.train.classes));
  const auto groups = thaw::LayerGroups::cut_before(model, thaw::models::efficientnet_lite_cuts());

  const auto say = [&](const char* kind, json row) {
    fmt::print("{}\n", (row.update({{"kind", kind}}), row).dump());
    std::fflush(stdout);
  };
  const auto learner = [&](const thaw::DataSource& held_out = {}) {
    return thaw::Learner(model, groups, thaw::cross_entropy,
                         {.train = train, .valid = held_out, .metrics = {thaw::accuracy()}});
  };
  const auto result = [&](thaw::Learner& of, double train_loss) -> json {
    const thaw::Evaluation seen = of.validate(valid);
    return {{"accuracy", seen.metrics[0].value}, {"loss", seen.loss}, {"train_loss", train_loss}};
  };
  const thaw::Stage frozen{.freeze = thaw::FreezeTo{-1}, .norm = thaw::hold_everywhere, .cache = thaw::Cache::memory};
  if (thawed) {
    thaw::Learner head = learner();
    thaw::Stage stage = frozen;
    stage.epochs = job.head_epochs;
    stage.lr = 3e-3;
    say("head", result(head, head.fit(stage).train_loss));
  }
  const thaw::WeightCopy start(*model);
  const auto ratios = thawed ? DiscriminativeLR::slice(0.1, 1) : DiscriminativeLR(1.0);
  if (job.sweep) {
    thaw::Learner finder = learner(valid);
    thawed ? finder.unfreeze(thaw::hold_everywhere) : finder.freeze(thaw::hold_everywhere);
    const double before = bench::cpu_seconds();
    const thaw::LRCurve curve = finder.find_lr({.rates = ratios});
    json rules = json::object();
    for (const thaw::Suggestion& each : thaw::suggestions(curve))
      rules[each.name] = {{"lr", each.lr}, {"confidence", each.confidence}};
    say("sweep", {{"rules", rules},
                  {"lr", curve.lr},
                  {"curve", curve.loss},
                  {"smoothed", curve.smoothed},
                  {"held_out_lr", curve.held_out_lr},
                  {"held_out", curve.held_out},
                  {"seconds", bench::cpu_seconds() - before}});
  }
  for (const double rate : job.rates) {
    start.restore();
    thaw::seed(few.seed + 1);
    thaw::Learner one = learner();
    thaw::Stage stage = thawed ? thaw::Stage{.freeze = thaw::Unfrozen{}, .norm = thaw::hold_everywhere} : frozen;
    stage.epochs = job.epochs;
    stage.lr = thawed ? DiscriminativeLR::slice(rate / 10, rate) : DiscriminativeLR::slice(rate);
    const double before = bench::cpu_seconds();
    const double train_loss = one.fit(stage).train_loss;
    const double seconds = bench::cpu_seconds() - before;
    json row = result(one, train_loss);
    row.update({{"rate", rate}, {"seconds", seconds}});
    say("rate", row);
  }
}

}  // namespace

int main(int argc, char** argv) try {
  const json told = json::parse(bench::option(argc, argv, "--job", "{}"));
  run(told.get<bench::FewImages>(), told.get<Job>());
} catch (const std::exception& error) {
  fmt::print(stderr, "{}\n", error.what());
  return EXIT_FAILURE;
}
