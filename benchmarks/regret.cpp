// One cell of the regret benchmark: a data set, frozen or thawed, a seed. Prints lines of JSON; regret.py runs it,
// keeps the lines and makes the table of docs/outcome.md.
//
//   build/bench/benchmarks/regret --job '{"data": "cats-dogs", "what": "thawed", "rates": [1e-4, 1e-3], ...}'
//
//   head    accuracy of the head alone, trained on cached features: where `thawed` begins
//   sweep   the finder's curve, and what each rule says of it
//   rate    accuracy after training at a rate: of a grid, the same for all rules

#include "bench.hpp"

#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <c10/core/GradMode.h>

#include <filesystem>
#include <string>
#include <thaw/models/efficientnet_lite.hpp>
#include <thaw/models/heads.hpp>
#include <thaw/thaw.hpp>
#include <thaw/train/detail/weight_copy.hpp>
#include <thaw/vision/image_data.hpp>
#include <thaw/vision/image_source.hpp>
#include <thaw/vision/resize.hpp>
#include <thaw/vision/split.hpp>
#include <thaw/weights/load.hpp>
#include <utility>
#include <vector>

#include "../examples/fashion_folder.hpp"

namespace {

namespace vision = thaw::vision;
using nlohmann::json;
using thaw::DiscriminativeLR;

/// What regret.py asks for.
struct Job {
  std::string data, weights, work, what = "thawed";
  std::uint64_t seed = 1;
  std::int64_t per_class = 30, valid = 500, head_epochs = 10, epochs = 5;
  int size = 64;
  bool sweep = true;
  std::vector<double> rates;
  NLOHMANN_DEFINE_TYPE_INTRUSIVE_WITH_DEFAULT(Job, data, weights, work, what, seed, per_class, valid, head_epochs,
                                              epochs, size, sweep, rates)
};

/// The same validation images whatever the seed; so many training images of each class, drawn by it.
vision::Split images(const Job& job) {
  vision::Split split;
  if (const std::filesystem::path data = job.data; std::filesystem::exists(data / "train-images-idx3-ubyte")) {
    split.train = vision::image_folder(example::fashion_folder(data, job.work, "train", 2000));
    split.valid = vision::image_folder(example::fashion_folder(data, job.work, "t10k", 1000), split.train.classes);
  } else {
    const vision::ImageData found = vision::image_data(data, {.valid = 0.5});
    split = {found.train, found.valid};
  }
  if (job.per_class > 0) split.train = vision::split_per_class(split.train, job.per_class, job.seed).train;
  if (split.valid.size() > job.valid)
    split.valid = vision::stratified_split(split.valid, static_cast<double>(job.valid) /
                                                            static_cast<double>(split.valid.size())).valid;
  return split;
}

/// Decoded once; what is measured is rates, not augmentation.
thaw::InMemory in_memory(const vision::ImageList& list, const Job& job, bool train) {
  const vision::ImageSource source({.images = list,
                                    .transforms = {vision::Resize{job.size}},
                                    .normalization = thaw::lite_statistics,
                                    .workers = 1});
  std::vector<at::Tensor> input, target;
  for (thaw::BatchStream next = source.in_order(); const auto batch = next();) {
    input.push_back(batch->input[0].clone());
    target.push_back(batch->target[0].clone());
  }
  return thaw::InMemory(
      {.input = at::cat(input), .target = at::cat(target), .batch_size = 32, .shuffle = train, .seed = job.seed});
}

void run(const Job& job) {
  cv::setNumThreads(1);
  const bool thawed = job.what == "thawed";
  const vision::Split split = images(job);
  const thaw::InMemory train = in_memory(split.train, job, true), valid = in_memory(split.valid, job, false);
  thaw::seed(job.seed);
  auto model = thaw::models::efficientnet_lite0();
  thaw::load_weights(model, job.weights);
  thaw::models::replace_head(model, thaw::models::linear_head(model->head_features(), std::ssize(split.train.classes)));
  const auto groups = thaw::LayerGroups::cut_before(model, thaw::models::efficientnet_lite_cuts());

  const auto say = [&](const char* kind, json row) {
    fmt::print("{}\n", (row.update({{"kind", kind}}), row).dump());
    std::fflush(stdout);
  };
  const auto learner = [&] {
    return thaw::Learner(model, groups, thaw::cross_entropy, {.train = train, .metrics = {thaw::accuracy()}});
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
  const thaw::detail::WeightCopy start(*model);
  const auto ratios = thawed ? DiscriminativeLR::slice(0.1, 1) : DiscriminativeLR(1.0);
  if (job.sweep) {
    thaw::Learner finder = learner();
    thawed ? finder.unfreeze(thaw::hold_everywhere) : finder.freeze(thaw::hold_everywhere);
    const double before = bench::cpu_seconds();
    const thaw::LRCurve curve = finder.find_lr({.rates = ratios});
    json rules;
    for (const thaw::Suggestion& each : thaw::suggestions(curve))
      rules[each.name] = {{"lr", each.lr}, {"confidence", each.confidence}};
    say("sweep", {{"rules", rules},
                  {"lr", curve.lr},
                  {"curve", curve.loss},
                  {"smoothed", curve.smoothed},
                  {"seconds", bench::cpu_seconds() - before}});
  }
  for (const double rate : job.rates) {
    start.restore();
    thaw::seed(job.seed + 1);
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
  Job job;
  for (int i = 1; i + 1 < argc; i += 2)
    if (std::string_view(argv[i]) == "--job") job = json::parse(argv[i + 1]).get<Job>();
  run(job);
} catch (const std::exception& error) {
  fmt::print(stderr, "{}\n", error.what());
  return EXIT_FAILURE;
}
