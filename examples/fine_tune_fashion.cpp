// SPDX-License-Identifier: BSD-3-Clause
// The whole story on a real network and real images, on two cores in minutes: take EfficientNet-lite0 as ImageNet
// trained it, give it a head for ten kinds of clothes, and fine-tune it in stages on 2,000 images.
//
//   1. the body frozen: only the new head learns (its random weights would send noise through the body)
//   2. the LR finder before each stage: at which rate does the loss begin to rise?
//   3. thawed, with discriminative rates: early layers slower than late ones, those slower than the head
//   4. the same weights on larger images (progressive resizing)
//
// and, to see what it was good for, the same network from random weights with the same number of steps.

#include <fmt/format.h>

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <thaw/models/efficientnet_lite.hpp>
#include <thaw/models/heads.hpp>
#include <thaw/thaw.hpp>
#include <thaw/train/keep_best.hpp>
#include <thaw/weights/load.hpp>

#include "fashion_mnist.hpp"
#include "processes.hpp"

namespace {

using thaw::DiscriminativeLR;

constexpr int classes = 10;

struct Options {
  std::filesystem::path data = THAW_DATA_DIR;
  std::filesystem::path out = "out";
  std::int64_t train = 2000, valid = 2000, size = 64, larger = 96;
  std::int64_t head_epochs = 3, thawed_epochs = 5, resized_epochs = 2;
  std::uint64_t seed = 42;
};

Options read_options(int argc, char** argv) {
  Options options;
  const std::map<std::string, std::function<void(const std::string&)>> known{
      {"--data", [&](const std::string& v) { options.data = v; }},
      {"--out", [&](const std::string& v) { options.out = v; }},
      {"--train", [&](const std::string& v) { options.train = std::stoll(v); }},
      {"--valid", [&](const std::string& v) { options.valid = std::stoll(v); }},
      {"--seed", [&](const std::string& v) { options.seed = std::stoull(v); }}};
  for (int i = 1; i < argc; i += 2) {
    const auto option = known.find(argv[i]);
    if (option == known.end() || i + 1 == argc)
      throw thaw::ConfigError(argv[i], "is no option, or has no value",
                              "use --data DIR, --out DIR, --train N, --valid N, --seed N");
    option->second(argv[i + 1]);
  }
  return options;
}

struct Result {
  std::string name;
  double accuracy, seconds;
};

double seconds_of(const thaw::History& history) {
  double sum = 0;
  for (const thaw::EpochRecord& epoch : history.epochs) sum += epoch.seconds;
  return sum;
}

/// EfficientNet-lite0 with a new head.
thaw::models::EfficientNetLite make_model(const std::filesystem::path* weights) {
  auto model = thaw::models::efficientnet_lite0();
  if (weights) thaw::load_weights(model, *weights);
  thaw::models::replace_head(model, classes);
  return model;
}

std::vector<Result> fine_tune(const Options& options, const example::Processes& processes,
                              const example::FashionMnist& train, const example::FashionMnist& valid) {
  const auto weights = options.data / "efficientnet-lite0-57934424.pth";
  at::manual_seed(options.seed);
  auto model = make_model(&weights);
  auto groups = thaw::LayerGroups::cut_before(model, thaw::models::efficientnet_lite_cuts());
  // as each stage ends: what does it take for what?
  const auto look = [&](thaw::Learner& now, thaw::HtmlPart& page) {
    add_to(page, thaw::class_results(now, now.data().valid, {.classes = example::fashion_classes}));
  };
  thaw::Learner learner{model,
                        groups,
                        thaw::cross_entropy,
                        {.train = batches(train, options.size, true),
                         .valid = batches(valid, options.size, false),
                         .metrics = {thaw::accuracy()},
                         .callbacks = {thaw::Console{}, thaw::HtmlReport{.path = options.out / "run.html",
                                                                         .title = "Fashion-MNIST in stages",
                                                                         .results = look,
                                                                         .results_per_stage = true}},
                         .world = processes.world()}};
  std::vector<Result> results;
  const auto stage = [&](const std::string& name, thaw::Stage how, std::int64_t line = 0) {
    how.name = name;
    // ends with its best epoch, the best of so many points on the line from its begin to its end, or as it began
    learner.fit(how, thaw::KeepBest{.monitor = "accuracy", .line = line});
    results.push_back({name, learner.validate().metrics[0].value, seconds_of(learner.history())});
  };
  // No rate is given: the head's is the last one before the finder's loss rises, the others', which can go back on the
  // line, as high as that loss bears.
  const auto find_curve = [&](const DiscriminativeLR& ratios) {
    thaw::LRCurve curve = learner.find_lr({.rates = ratios});
    fmt::print("\n{}\n", curve);
    if (processes.first()) thaw::write_svg(curve, options.out / "lr_finder.svg");
    return curve;
  };
  const auto thawed_lr = [&] {
    const thaw::LRCurve curve = find_curve(DiscriminativeLR::slice(0.1, 1));
    const auto edge = thaw::suggest_edge(curve);
    const double rate = edge ? edge->lr : thaw::recommended_lr(curve);
    fmt::print("rate: {:.1e}\n", rate);
    return DiscriminativeLR::slice(rate / 10, rate);
  };

  // Batch norm is held from here to the end. This network's norm momentum is .01: in the few hundred steps that follow,
  // its running statistics could not catch up with weights that move (tried in Python: 0.79 instead of 0.87).
  learner.freeze(thaw::hold_everywhere);
  stage("head only", {.epochs = options.head_epochs, .lr = thaw::recommended_lr(find_curve(1.0))});

  learner.unfreeze(thaw::hold_everywhere);
  stage("thawed", {.epochs = options.thawed_epochs, .lr = thawed_lr()}, /*line=*/3);

  // Larger images have to be worth it: otherwise the network, and the size, of before are kept.
  learner.save(options.out / "fashion.pt");
  const auto look_at = [&](std::int64_t size) {
    learner.data({.train = batches(train, size, true), .valid = batches(valid, size, false)});
  };
  look_at(options.larger);
  stage(fmt::format("resized to {} px", options.larger), {.epochs = options.resized_epochs, .lr = thawed_lr()},
        /*line=*/3);
  if (results[2].accuracy < results[1].accuracy) {
    learner.load(options.out / "fashion.pt");
    look_at(options.size);
    results[2].name += fmt::format(": {:.3f}, so {} px are kept", results[2].accuracy, options.size);
    results[2].accuracy = learner.validate().metrics[0].value;
  }

  learner.save(options.out / "fashion.pt");
  if (processes.first()) thaw::write_svg(learner.history(), options.out / "run.svg");
  return results;
}

/// All layers from random weights at one rate. Norm momentum .1, with which the running statistics can follow weights
/// that move fast (left at this network's .01, it ends near 0.2).
Result from_random(const Options& options, const example::Processes& processes, const example::FashionMnist& train,
                   const example::FashionMnist& valid, double lr, std::int64_t epochs) {
  at::manual_seed(options.seed);
  auto model = make_model(nullptr);
  thaw::set_norm_momentum(*model, 0.1);
  thaw::Learner learner{model,
                        thaw::LayerGroups::cut_before(model, {}),
                        thaw::cross_entropy,
                        {.train = batches(train, options.size, true),
                         .metrics = {thaw::accuracy()},
                         .callbacks = {thaw::Console{}},
                         .world = processes.world()}};
  learner.fit({.name = fmt::format("random weights, rate {}", lr), .epochs = epochs, .lr = lr});
  return {"from random weights", learner.validate(batches(valid, options.size, false)).metrics[0].value,
          seconds_of(learner.history())};
}

/// A fair opponent: as many steps as the stages together, at the best of three rates (by a short run each).
Result best_from_random(const Options& options, const example::Processes& processes, const example::FashionMnist& train,
                        const example::FashionMnist& valid) {
  double best_lr = 0, best_accuracy = -1;
  for (const double lr : {1e-3, 3e-3, 1e-2}) {
    const Result trial = from_random(options, processes, train, valid, lr, /*epochs=*/1);
    if (trial.accuracy > best_accuracy) best_lr = lr, best_accuracy = trial.accuracy;
  }
  return from_random(options, processes, train, valid, best_lr,
                     options.head_epochs + options.thawed_epochs + options.resized_epochs);
}

}  // namespace

int main(int argc, char** argv) try {
  const Options options = read_options(argc, argv);
  const example::Processes processes;  // the same program by torchrun, in several
  std::filesystem::create_directories(options.out);
  const auto train = example::fashion_mnist(options.data / "fashion-mnist", "train", options.train);
  const auto valid = example::fashion_mnist(options.data / "fashion-mnist", "t10k", options.valid);
  fmt::print("{} training and {} validation images, {} threads in each of {} processes\n", train.labels.size(0),
             valid.labels.size(0), at::get_num_threads(), processes.world().size());

  std::vector<Result> results = fine_tune(options, processes, train, valid);
  results.push_back(best_from_random(options, processes, train, valid));

  thaw::Table table{{"arm", "valid accuracy", "seconds"}};
  for (const Result& result : results)
    table.add(result.name, fmt::format("{:.3f}", result.accuracy), fmt::format("{:.0f}", result.seconds));
  fmt::print("\n{}\nplots: {} and {}\na page about the run: {}\n", thaw::to_text(table),
             (options.out / "lr_finder.svg").string(), (options.out / "run.svg").string(),
             (options.out / "run.html").string());
} catch (const thaw::Error& error) {
  fmt::print(stderr, "{}\n", error.what());
  return EXIT_FAILURE;
}
