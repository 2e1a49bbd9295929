// SPDX-License-Identifier: BSD-3-Clause
// Several things may be true of an image at once: a label for each, none of which excludes another. The loss is binary
// cross-entropy, thaw's recipe chooses the rates, the threshold from which on a label is predicted is tuned on
// validation data, and what counts is F-beta.
//
//     multi_label --data planet/train.csv --weights efficientnet-lite0-57934424.pth
//
// The CSV file has a column of image paths and one of labels, separated by spaces. Without --data it makes images of
// shapes, of which the right labels are known.

#include <fmt/format.h>

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <cstdint>
#include <filesystem>
#include <string>
#include <thaw/models/efficientnet_lite.hpp>
#include <thaw/models/heads.hpp>
#include <thaw/recipe/recipe_text.hpp>
#include <thaw/recipe/run_plan.hpp>
#include <thaw/report/console.hpp>
#include <thaw/report/run_plot.hpp>
#include <thaw/report/table.hpp>
#include <thaw/train/label_thresholds.hpp>
#include <thaw/train/learner.hpp>
#include <thaw/train/loss.hpp>
#include <thaw/train/metric_multi_label.hpp>
#include <thaw/vision/aug_transforms.hpp>
#include <thaw/vision/image_csv.hpp>
#include <thaw/vision/image_source.hpp>
#include <thaw/vision/resize.hpp>
#include <thaw/vision/split.hpp>
#include <thaw/weights/load.hpp>

#include "cli.hpp"
#include "shapes.hpp"

namespace {

struct Options : example::Common {
  std::string separator = " ", extension;
  std::int64_t images = 1000;  // that are made
  double beta = 2;
};

void run(const Options& options) {
  cv::setNumThreads(1);  // images are read by threads of ours
  const std::filesystem::path csv =
      options.data.empty()
          ? example::shapes_folder(options.out, options.images, options.size, /*least=*/0, /*most=*/3, options.seed) /
                "list.csv"
          : options.data;
  const thaw::vision::ImageList all =
      thaw::vision::image_csv(csv, {.separator = options.separator, .extension = options.extension});
  const auto [train, valid] = thaw::vision::random_split(all, 0.2, options.seed);
  fmt::print("{} images to train on, {} held back, {} labels\n", train.size(), valid.size(), all.classes.size());

  auto model = thaw::models::efficientnet_lite0();
  thaw::load_weights(model, options.weights);
  thaw::models::replace_head(model, std::ssize(all.classes));
  const auto source = [&](const thaw::vision::ImageList& images, bool augmented) {
    thaw::vision::Transforms transforms{thaw::vision::Resize{options.size}};
    if (augmented) transforms.add(thaw::vision::aug_transforms({.flip_vertical = true, .max_warp = 0}));
    return thaw::vision::ImageSource({.images = images,
                                      .transforms = transforms,
                                      .normalization = thaw::lite_statistics,
                                      .predict = thaw::vision::Predict::labels,
                                      .batch_size = 32,
                                      .shuffle = augmented,
                                      .seed = options.seed});
  };
  const thaw::vision::ImageSource held_back = source(valid, false);
  thaw::Learner learner(model, thaw::LayerGroups::cut_before(model, thaw::models::efficientnet_lite_cuts()),
                        thaw::bce_with_logits,
                        {.train = source(train, true),
                         .valid = held_back,
                         .metrics = {thaw::multi_label_accuracy(), thaw::multi_label_f_beta({.beta = options.beta})},
                         .callbacks = {thaw::Console{}}});
  fmt::print("\n{}", thaw::run_recipe(learner, {.epochs = options.epochs}));
  thaw::write_svg(learner.history(), options.out / "multi_label.svg");

  // A threshold for each label. They are tuned on one half of what was held back and judged by the other: on the same
  // half they would look better than they are.
  const at::Tensor probabilities = learner.predict(held_back).sigmoid(), truth = held_back.targets();
  const std::int64_t half = probabilities.size(0) / 2;
  const at::Tensor thresholds =
      thaw::label_thresholds(probabilities.slice(0, 0, half), truth.slice(0, 0, half), {.beta = options.beta});
  const auto f_beta = [&](const at::Tensor& above) {  // what is above 0 is predicted
    const thaw::Metric metric = thaw::multi_label_f_beta({.beta = options.beta, .threshold = 0, .sigmoid = false});
    return metric.value(metric.observe(above.slice(0, half), truth.slice(0, half))).item<double>();
  };
  const double untuned = f_beta(probabilities - 0.5), tuned = f_beta(probabilities - thresholds);

  thaw::Table table{{"label", "threshold"}};
  for (std::size_t i = 0; i < all.classes.size(); ++i)
    table.add(all.classes[i], fmt::format("{:.2f}", thresholds[static_cast<std::int64_t>(i)].item<double>()));
  fmt::print("\n{}\nok: F{:g} {:.3f} at thresholds of 0.5, {:.3f} at these\n", thaw::to_text(table), options.beta,
             untuned, tuned);
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  options.weights = std::filesystem::path(THAW_DATA_DIR) / "efficientnet-lite0-57934424.pth";
  CLI::App app("Fine-tunes EfficientNet-lite0 to say which of several labels are true of an image.");
  options.add_to(app);
  app.add_option("--separator", options.separator, "between the labels of an image")->capture_default_str();
  app.add_option("--extension", options.extension, "put behind each path of the CSV file, as .jpg");
  app.add_option("--images", options.images, "how many to make without --data")->capture_default_str();
  app.add_option("--beta", options.beta, "how much more recall counts than precision")->capture_default_str();
  return example::main(app, options, argc, argv, [&] { run(options); });
}
