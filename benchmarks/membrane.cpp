// SPDX-License-Identifier: BSD-3-Clause
// One arm of the segmentation benchmark, once, in a process of its own: a U-Net over EfficientNet-lite0 on a folder of
// images and masks, as in examples/segmentation.cpp. Prints one line of JSON; membrane.py runs it beside fastai
// (peers/fastai_unet.py), keeps the rows and makes the table.
//
//   build/bench/benchmarks/membrane --arm recipe --job '{"data": "membrane", "seed": 1, "epochs": 10, ...}'
//
// `images` writes what fastai trains on and is validated on: images as the network here sees them, of each epoch where
// they are augmented; and a network with its output, by which fastai's is found to be the same. Seconds are the
// processor's, of training and all that is chosen for it, reading of images included.

#include "bench.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/stack.h>

#include <cstdint>
#include <string>
#include <thaw/models/efficientnet_lite.hpp>
#include <thaw/models/unet.hpp>
#include <thaw/recipe/recipe_text.hpp>
#include <thaw/recipe/run_plan.hpp>
#include <thaw/thaw.hpp>
#include <thaw/train/loss_dice.hpp>
#include <thaw/train/metric_segmentation.hpp>
#include <thaw/vision/aug_transforms.hpp>
#include <thaw/vision/image_source.hpp>
#include <thaw/vision/mask_data.hpp>
#include <thaw/vision/resize.hpp>
#include <thaw/vision/split.hpp>
#include <thaw/weights/load.hpp>
#include <thaw/weights/module_state_dict.hpp>
#include <thaw/weights/save.hpp>
#include <utility>
#include <vector>

namespace {

namespace vision = thaw::vision;
using nlohmann::json;

/// What every arm is told; membrane.py gives the numbers.
struct Job {
  std::string data, weights, images;  // images/ and masks/; EfficientNet-lite0's; the file of `images`
  std::uint64_t seed = 1;
  int size = 128;
  std::int64_t epochs = 10, batch = 8;
  NLOHMANN_DEFINE_TYPE_INTRUSIVE_WITH_DEFAULT(Job, data, weights, images, seed, size, epochs, batch)
};

struct Arms {
  [[nodiscard]] vision::ImageSource images(const vision::ImageList& list, bool train, bool augment) const {
    vision::Transforms transforms{vision::Resize{job.size}};
    if (augment) transforms.add(vision::aug_transforms({.flip_vertical = true}));
    return vision::ImageSource({.images = list,
                                .transforms = transforms,
                                .normalization = thaw::lite_statistics,
                                .predict = vision::Predict::mask,
                                .mask_values = all.values,
                                .mask_ignore = all.ignore,
                                .batch_size = job.batch,
                                .shuffle = train,
                                .seed = job.seed,
                                .workers = 1});
  }

  /// [images, C, H, W] and [images, H, W], in the order of the list.
  static std::pair<at::Tensor, at::Tensor> everything(const vision::ImageSource& source, std::int64_t epoch) {
    std::vector<at::Tensor> inputs, targets;
    const thaw::BatchStream stream = source.in_order(epoch);
    while (const auto batch = stream()) {
      inputs.push_back(batch->input[0]);
      targets.push_back(batch->target[0]);
    }
    return {at::cat(inputs), at::cat(targets).to(at::kByte)};
  }

  void write_images() const {
    thaw::StateDict file;
    const auto write = [&](const std::string& name, const std::pair<at::Tensor, at::Tensor>& pixels) {
      file.insert(name + ".images", pixels.first);
      file.insert(name + ".masks", pixels.second);
    };
    write("train", everything(images(split.train, false, false), 0));
    write("valid", everything(images(split.valid, false, false), 0));
    const vision::ImageSource augmented = images(split.train, false, true);
    std::vector<at::Tensor> inputs, targets;
    for (std::int64_t epoch = 0; epoch < job.epochs + (job.epochs + 1) / 2; ++epoch) {
      auto [input, target] = everything(augmented, epoch);
      inputs.push_back(input);
      targets.push_back(target);
    }
    write("augmented", {at::stack(inputs), at::stack(targets)});

    thaw::models::UNet net = network();
    net->eval();
    for (const auto& [name, tensor] : thaw::state_dict(*net)) file.insert("net." + name, tensor);
    const at::NoGradGuard no_grad;
    const at::Tensor output = net->forward(file.at("valid.images"));
    file.insert("net_output", output);
    file.insert("net_loss", thaw::DiceCrossEntropy{}(output, file.at("valid.masks").to(at::kLong)));
    thaw::save_weights(file, job.images);
  }

  [[nodiscard]] thaw::models::UNet network() const {
    thaw::seed(job.seed);
    auto body = thaw::models::efficientnet_lite0();
    thaw::load_weights(body, job.weights);
    return thaw::models::unet(body, {.classes = std::ssize(all.images.classes), .bottom = 256});
  }

  static json scores(const thaw::Evaluation& valid) {
    return {{"mean_iou", valid.metrics[0].value}, {"foreground_iou", valid.metrics[1].value}, {"loss", valid.loss}};
  }

  /// Trains, and says how well.
  template <class Train>
  [[nodiscard]] json measured(bool augment, const Train& train) const {
    thaw::models::UNet model = network();
    thaw::Metric foreground = thaw::iou({.background = false, .ignore_index = 255});
    foreground.name = "foreground iou";
    thaw::Learner learner(
        model, thaw::LayerGroups::cut_before(model, thaw::models::unet_cuts(thaw::models::efficientnet_lite_cuts())),
        thaw::DiceCrossEntropy{},
        {.train = images(split.train, true, augment),
         .valid = images(split.valid, false, false),
         .metrics = {thaw::iou({.ignore_index = 255}), foreground}});
    std::int64_t parameters = 0;
    for (const at::Tensor& parameter : model->parameters()) parameters += parameter.numel();
    const double before = bench::cpu_seconds();
    json row = train(learner);
    row.update({{"seconds", bench::cpu_seconds() - before}, {"parameters", parameters}});
    row.update(scores(learner.validate()));
    return row;
  }

  [[nodiscard]] json recipe() const {
    return measured(true, [&](thaw::Learner& learner) {
      const double begin = bench::cpu_seconds();
      const thaw::RecipePlan plan = thaw::make_plan(learner, {.epochs = job.epochs});
      json row = {{"stages", json::array()}, {"plan", to_text(plan)}};
      for (const thaw::RecipeStage& stage : plan.stages) {
        thaw::RecipePlan one = plan;
        one.stages = {stage};
        const thaw::RecipeResult result = thaw::run_plan(learner, one);
        json& told = row["stages"].emplace_back(scores(result.valid));
        told.update({{"name", result.stages[0].name},
                     {"epochs", stage.stage.epochs},
                     {"lr", result.stages[0].lr},
                     {"kept", result.stages[0].what},
                     {"seconds", bench::cpu_seconds() - begin}});
      }
      return row;
    });
  }

  /// fastai's, with its defaults: norm layers of the frozen body go on measuring.
  [[nodiscard]] json fine_tune(bool augment) const {
    return measured(augment, [&](thaw::Learner& learner) {
      learner.fine_tune(job.epochs, 2e-3,
                        {.freeze_epochs = (job.epochs + 1) / 2, .norm = {.frozen = thaw::Norm::train}});
      return json::object();
    });
  }

  const Job& job;
  vision::MaskData all = vision::mask_data(job.data);
  vision::Split split = vision::random_split(all.images, 0.2, job.seed);
};

}  // namespace

int main(int argc, char** argv) try {
  cv::setNumThreads(1);
  const std::string arm = bench::option(argc, argv, "--arm");
  const Job job = json::parse(bench::option(argc, argv, "--job", "{}")).get<Job>();
  const Arms arms{job};
  if (arm == "images") {
    arms.write_images();
    return EXIT_SUCCESS;
  }
  if (arm != "recipe" && arm != "fine_tune" && arm != "fine_tune_augmented")
    throw thaw::ConfigError("--arm", '"' + arm + "\" is none", "give images, recipe, fine_tune or fine_tune_augmented");
  fmt::print("{}\n", (arm == "recipe" ? arms.recipe() : arms.fine_tune(arm != "fine_tune")).dump());
} catch (const std::exception& error) {
  fmt::print(stderr, "{}\n", error.what());
  return EXIT_FAILURE;
}
