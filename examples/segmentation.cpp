// SPDX-License-Identifier: BSD-3-Clause
// Says of each pixel what it shows: a U-Net whose body is an ImageNet network, trained by Dice and cross-entropy
// together. thaw's recipe trains it: first the decoder, then all of it, at rates that the finder gives.
//
//     segmentation --data camvid --classes sky,building,road --weights efficientnet-lite0-57934424.pth
//
// --data holds images/ (or image/) and masks/ (or label/), each mask a file of its image's name with a number for each
// class: 0, 1, 2, ..., or others, as 0 and 255, which go to --classes in rising order. Without --data, it makes images
// of shapes, of which the right masks are known. Overlays of what was predicted land in --out.

#include <fmt/format.h>

#include <ATen/TensorOperators.h>
#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <thaw/models/efficientnet_lite.hpp>
#include <thaw/models/unet.hpp>
#include <thaw/recipe/recipe_text.hpp>
#include <thaw/recipe/run_plan.hpp>
#include <thaw/report/console.hpp>
#include <thaw/report/run_plot.hpp>
#include <thaw/train/learner.hpp>
#include <thaw/train/loss_dice.hpp>
#include <thaw/train/metric_segmentation.hpp>
#include <thaw/vision/aug_transforms.hpp>
#include <thaw/vision/contact_sheet.hpp>
#include <thaw/vision/image_source.hpp>
#include <thaw/vision/mask_data.hpp>
#include <thaw/vision/overlay.hpp>
#include <thaw/vision/resize.hpp>
#include <thaw/vision/split.hpp>
#include <thaw/vision/write_image.hpp>
#include <thaw/weights/load.hpp>
#include <vector>

#include "cli.hpp"
#include "shapes.hpp"

namespace {

struct Options : example::Common {
  std::vector<std::string> classes;
  std::int64_t images = 400;  // that are made
  int pictures = 8;
};

/// Side by side: the image, what it shows, what the network says.
void write_overlays(const Options& options, thaw::Learner& learner, const thaw::vision::ImageSource& source) {
  for (std::int64_t i = 0; i < std::min<std::int64_t>(options.pictures, source.samples()); ++i) {
    const thaw::vision::Sample sample = source.sample(i);
    const at::Tensor x = thaw::vision::to_tensor(sample.image, thaw::lite_statistics).unsqueeze(0);
    const at::Tensor predicted = learner.predict(x).argmax(1)[0].to(at::kByte).contiguous();
    const cv::Mat mask(sample.image.size(), CV_8U, predicted.data_ptr());
    const std::vector<thaw::vision::Tile> tiles{{sample.image, "image"},
                                                {thaw::vision::overlay(sample.image, sample.mask), "what it shows"},
                                                {thaw::vision::overlay(sample.image, mask), "predicted"}};
    const cv::Mat sheet = thaw::vision::contact_sheet(
        tiles, {.legend = thaw::vision::class_legend(source.images().classes), .columns = 3, .tile = 192});
    thaw::vision::write_image(sheet, options.out / fmt::format("overlay_{}.png", i));
  }
}

void run(Options options) {
  cv::setNumThreads(1);  // images are read by threads of ours
  if (options.data.empty()) {
    options.data =
        example::shapes_folder(options.out, options.images, options.size, /*least=*/1, /*most=*/3, options.seed);
    options.classes = {"background"};
    options.classes.insert(options.classes.end(), example::shape_names.begin(), example::shape_names.end());
  }
  const thaw::vision::MaskData data = thaw::vision::mask_data(options.data, {.classes = options.classes});
  const thaw::vision::ImageList& all = data.images;
  fmt::print("{}\n", data.how);
  const auto [train, valid] = thaw::vision::random_split(all, 0.2, options.seed);
  fmt::print("{} images to train on, {} held back, {} classes\n", train.size(), valid.size(), all.classes.size());

  auto body = thaw::models::efficientnet_lite0();
  thaw::load_weights(body, options.weights);
  auto model = thaw::models::unet(body, {.classes = std::ssize(all.classes), .bottom = 256});
  const auto source = [&](const thaw::vision::ImageList& images, bool augmented) {
    using namespace thaw::vision;
    Transforms transforms{Resize{options.size}};  // the mask goes where its image goes
    if (augmented) transforms.add(aug_transforms({.flip_vertical = true}));
    return ImageSource({.images = images,
                        .transforms = transforms,
                        .normalization = thaw::lite_statistics,
                        .predict = Predict::mask,
                        .mask_values = data.values,
                        .mask_ignore = data.ignore,
                        .batch_size = 8,
                        .shuffle = augmented,
                        .seed = options.seed});
  };
  const thaw::vision::ImageSource held_back = source(valid, false);
  // Where the masks have pixels that count for no class; nothing is ignored otherwise.
  const std::optional<std::int64_t> ignored = data.ignore ? std::optional<std::int64_t>(255) : std::nullopt;
  thaw::Metric foreground = thaw::iou({.background = false, .ignore_index = ignored});
  foreground.name = "foreground iou";
  thaw::Learner learner(
      model, thaw::LayerGroups::cut_before(model, thaw::models::unet_cuts(thaw::models::efficientnet_lite_cuts())),
      thaw::DiceCrossEntropy{.cross_entropy = {.ignore_index = ignored.value_or(-100)}},
      {.train = source(train, true),
       .valid = held_back,
       .metrics = {thaw::iou({.ignore_index = ignored}), thaw::dice({.ignore_index = ignored}), foreground},
       .callbacks = {thaw::Console{}}});
  const thaw::RecipeResult result = thaw::run_recipe(learner, {.epochs = options.epochs});
  fmt::print("\n{}", result);
  thaw::write_svg(learner.history(), options.out / "segmentation.svg");
  write_overlays(options, learner, held_back);
  const auto value = [&](std::size_t metric) { return result.valid.metrics[metric].value; };
  fmt::print("ok: mean IoU {:.3f}, Dice {:.3f}, IoU of the foreground (all but {}) {:.3f}; see {}\n", value(0),
             value(1), all.classes[0], value(2), (options.out / "overlay_0.png").string());
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  options.weights = std::filesystem::path(THAW_DATA_DIR) / "efficientnet-lite0-57934424.pth";
  CLI::App app("Trains a U-Net over EfficientNet-lite0 to say of each pixel what it shows.");
  options.add_to(app);
  app.add_option("--classes", options.classes, "names of the masks' classes, in the order of their values")
      ->delimiter(',');
  app.add_option("--images", options.images, "how many to make without --data")->capture_default_str();
  app.add_option("--pictures", options.pictures, "how many overlays to write")->capture_default_str();
  return example::main(app, options, argc, argv, [&] { run(options); });
}
