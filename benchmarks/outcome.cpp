// SPDX-License-Identifier: BSD-3-Clause
// One arm of the outcome benchmark, once, in a process of its own: EfficientNet-lite0 on few images. Prints one line of
// JSON; outcome.py runs it beside fastai (peers/fastai_outcome.py), keeps the rows and makes the table.
//
//   build/bench/benchmarks/outcome --arm recipe --job '{"data": "cats-dogs", "seed": 1, "epochs": 5, ...}'
//
// `images` writes what fastai trains on and is validated on: bytes, resized once. Seconds are the processor's, of
// training and all that is chosen for it.

#include "few_images.hpp"

#include <ATen/ops/from_blob.h>
#include <ATen/ops/stack.h>

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <thaw/recipe/recipe_text.hpp>
#include <thaw/recipe/run_plan.hpp>
#include <thaw/vision/aug_transforms.hpp>
#include <thaw/vision/image_source.hpp>
#include <thaw/vision/resize.hpp>
#include <thaw/weights/save.hpp>
#include <utility>
#include <vector>

namespace {

namespace vision = thaw::vision;
using nlohmann::json;
using thaw::DiscriminativeLR;

/// What every arm is told; outcome.py gives the numbers.
struct Job {
  std::string images;  // the file of `images`
  std::vector<int> sizes = {96, 128};
  std::int64_t epochs = 5;
  NLOHMANN_DEFINE_TYPE_INTRUSIVE_WITH_DEFAULT(Job, images, sizes, epochs)
};

/// Decays towards the weights that a stage began with (L2-SP): w -= 100 rate (w - w0), which at a rate of
/// 1e-4 takes back two fifths of the way in 50 steps.
struct TowardsPretrained {
  std::vector<std::pair<at::Tensor, at::Tensor>> start = {};
  void on_stage_begin(const thaw::StageBegin& event) {
    start.clear();
    for (std::size_t g = 0; g + 1 < event.learner.groups().size(); ++g)
      for (const thaw::GroupParameter& parameter : event.learner.groups()[g].parameters)
        if (parameter.tensor.requires_grad()) start.emplace_back(parameter.tensor, parameter.tensor.detach().clone());
  }
  void on_step_end(const thaw::StepEnd& event) const {
    const c10::NoGradGuard no_grad;
    for (const auto& [now, then] : start) now.lerp_(then, std::min(0.5, 100 * event.lr.front()));
  }
};

/// The recipe, changed.
struct How {
  bool augment = true, choose_size = true, choose_head = true;
  std::function<void(thaw::Learner&, thaw::RecipePlan&)> change = {};  // of the plan, once the head is trained
  std::vector<thaw::Callback> callbacks = {};
};

struct Arms {
  void write_images() const {
    thaw::StateDict all;
    for (const auto& [name, list] : {std::pair("train", split.train), std::pair("valid", split.valid)}) {
      const vision::ImageSource source = images(list, job.sizes.back(), false, false);
      std::vector<at::Tensor> pixels;
      for (std::int64_t i = 0; i < source.samples(); ++i) {
        const cv::Mat image = source.sample(i).image;
        pixels.push_back(at::from_blob(image.data, {image.rows, image.cols, 3}, at::kByte).permute({2, 0, 1}).clone());
      }
      all.insert(std::string(name) + ".images", at::stack(pixels));
      all.insert(std::string(name) + ".labels", source.targets()[0]);
    }
    thaw::save_weights(all, job.images);
  }

  [[nodiscard]] vision::ImageSource images(const vision::ImageList& list, int size, bool train, bool augment) const {
    vision::Transforms transforms{vision::Resize{size}};
    if (augment) transforms = {vision::RandomResizedCrop{.size = size, .min_scale = 0.7}, vision::aug_transforms()};
    return vision::ImageSource({.images = list,
                                .transforms = transforms,
                                .normalization = thaw::lite_statistics,
                                .batch_size = 32,
                                .shuffle = train,
                                .seed = few.seed,
                                .workers = 1});
  }
  [[nodiscard]] thaw::LearnerData data(int size, bool augment) const {
    return {.train = images(split.train, size, true, augment), .valid = images(split.valid, size, false, false)};
  }

  /// Trains, and says how well.
  [[nodiscard]] json measured(bool augment, bool pretrained, bool one_group,
                              const std::function<json(thaw::Learner&)>& train) const {
    const auto model = bench::network(few, std::ssize(split.train.classes), pretrained);
    const auto cuts = one_group ? std::vector<std::string>() : thaw::models::efficientnet_lite_cuts();
    const thaw::LearnerData last = data(job.sizes.back(), augment);
    thaw::Learner learner(model, thaw::LayerGroups::cut_before(model, cuts), thaw::cross_entropy,
                          {.train = last.train, .metrics = {thaw::accuracy()}});
    const double before = bench::cpu_seconds();
    json row = train(learner);
    row["seconds"] = bench::cpu_seconds() - before;
    const thaw::Evaluation end = learner.data().valid ? learner.validate() : learner.validate(last.valid);
    row.update({{"accuracy", end.metrics[0].value}, {"loss", end.loss}});
    return row;
  }

  [[nodiscard]] json recipe(const How& how) const {
    return measured(how.augment, true, false, [&](thaw::Learner& learner) {
      const double begin = bench::cpu_seconds();
      thaw::Recipe recipe{.epochs = job.epochs,
                          .at_size = [&](int size) { return data(size, how.augment); },
                          .sizes = how.choose_size ? job.sizes : std::vector{job.sizes.front()}};
      thaw::RecipePlan plan = thaw::make_plan(learner, recipe);
      if (!how.choose_head) {
        plan.stages[0].find = thaw::LRFinder{};
        plan.stages[0].stage.epochs = 3;
        plan.stages[0].stage.cache = {};
        plan.stages[0].head_decay.reset();
      }
      json row = {{"stages", json::array()}, {"plan", to_text(plan)}};
      for (std::size_t i = 0; i < plan.stages.size(); ++i) {
        if (i == 1 && how.change) how.change(learner, plan);
        thaw::RecipePlan one = plan;
        one.stages = {plan.stages[i]};
        const thaw::RecipeResult result =
            how.callbacks.empty() ? thaw::run_plan(learner, one) : thaw::run_plan(learner, one, how.callbacks[0]);
        row["stages"].push_back({{"name", result.stages[0].name},
                                 {"accuracy", result.stages[0].after},
                                 {"lr", result.stages[0].lr},
                                 {"kept", result.stages[0].what},
                                 {"seconds", bench::cpu_seconds() - begin}});
      }
      return row;
    });
  }

  const bench::FewImages& few;
  const Job& job;
  vision::Split split = bench::split(few);
};

using Arm = std::function<json(const Arms&)>;
How changed(const std::function<void(thaw::Learner&, thaw::RecipePlan&)>& change) {
  return {.change = change};
}

/// Of all groups thawed, by a rule.
DiscriminativeLR rates_of(const std::function<std::optional<thaw::Suggestion>(const thaw::LRCurve&)>& rule,
                          thaw::Learner& learner, thaw::RecipePlan& plan) {
  learner.data(plan.data);
  learner.unfreeze(thaw::hold_everywhere);
  const double rate = rule(learner.find_lr(*plan.stages[1].find)).value().lr;
  return DiscriminativeLR::slice(rate / 10, rate);
}

/// Every arm, by the name that outcome.py has for it.
std::map<std::string, Arm> all_arms() {
  return {
      {"recipe", [](const Arms& a) { return a.recipe({}); }},
      // without one of its parts
      {"no_line", [](const Arms& a) { return a.recipe(changed([](auto&, auto& p) { p.stages[1].line = 0; })); }},
      {"before_rise",  // the rate that the finder recommends where there is no line
       [](const Arms& a) {
         return a.recipe(changed([](thaw::Learner& learner, thaw::RecipePlan& p) {
           p.stages[1].stage.lr = rates_of(thaw::recommended, learner, p);
           p.stages[1].find.reset();
         }));
       }},
      {"no_augmentation", [](const Arms& a) { return a.recipe({.augment = false}); }},
      {"small", [](const Arms& a) { return a.recipe({.choose_size = false}); }},
      {"head_by_finder", [](const Arms& a) { return a.recipe({.choose_head = false}); }},
      {"one_rate_thawed",
       [](const Arms& a) { return a.recipe(changed([](auto&, auto& p) { p.stages[1].find->rates = 1.0; })); }},
      {"norm_trains",
       [](const Arms& a) { return a.recipe(changed([](auto&, auto& p) { p.stages[1].stage.norm = {}; })); }},
      // with one more
      {"towards_pretrained",
       [](const Arms& a) { return a.recipe({.callbacks = {thaw::Callback(TowardsPretrained{})}}); }},
      {"gradual",  // the last group alone, then an earlier one more with each epoch
       [](const Arms& a) {
         return a.recipe(changed([](thaw::Learner& learner, thaw::RecipePlan& p) {
           p.stages[1].stage.lr = rates_of(thaw::suggest_edge, learner, p);
           p.stages[1].find.reset();
           p.stages[1].stage.freeze = thaw::GradualUnfreeze{.every = thaw::Epochs{1}};
         }));
       }},
      {"smaller_first",  // two fifths of the epochs at the smallest size
       [](const Arms& a) {
         return a.recipe(changed([&](thaw::Learner& learner, thaw::RecipePlan& p) {
           thaw::RecipePlan first = p;
           first.stages = {p.stages[1]};
           first.stages[0].stage.epochs = std::max<std::int64_t>(1, a.job.epochs * 2 / 5);
           first.data = a.data(a.job.sizes.front(), true);
           (void)thaw::run_plan(learner, first);
           p.stages[1].stage.epochs -= first.stages[0].stage.epochs;
         }));
       }},
      // simpler ways
      {"fine_tune",
       [](const Arms& a) {
         return a.measured(false, true, false, [&](thaw::Learner& learner) {
           learner.fine_tune(a.job.epochs, 2e-3, {.norm = {.frozen = thaw::Norm::train}});
           return json::object();
         });
       }},
      {"one_rate",
       [](const Arms& a) {
         return a.measured(true, true, true, [&](thaw::Learner& learner) {
           learner.fit({.epochs = 1 + a.job.epochs, .lr = 1e-3});
           return json::object();
         });
       }},
      {"random",  // this network's own norm momentum, .01, would be too slow for weights that move so fast
       [](const Arms& a) {
         return a.measured(true, false, true, [&](thaw::Learner& learner) {
           thaw::set_norm_momentum(*learner.groups().module(), 0.1);
           learner.fit({.epochs = 1 + a.job.epochs, .lr = 3e-3});
           return json::object();
         });
       }},
  };
}

}  // namespace

int main(int argc, char** argv) try {
  cv::setNumThreads(1);
  const std::string arm = bench::option(argc, argv, "--arm");
  const json told = json::parse(bench::option(argc, argv, "--job", "{}"));
  const auto few = told.get<bench::FewImages>();
  const auto job = told.get<Job>();
  const Arms arms{few, job};
  if (arm == "images")
    arms.write_images();
  else
    fmt::print("{}\n", all_arms().at(arm)(arms).dump());
} catch (const std::exception& error) {
  fmt::print(stderr, "{}\n", error.what());
  return EXIT_FAILURE;
}
