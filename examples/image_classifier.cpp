// SPDX-License-Identifier: BSD-3-Clause
// Fine-tunes an ImageNet network on a folder of images: train/ and valid/, a folder for each class, or a CSV file.
//
//     image_classifier --data flowers --weights resnet34-b627a593.pth --model resnet34
//
// One call, and no rate: thaw's recipe looks at the data, chooses the size of images and how the head is trained, thaws
// the network at the finder's rate, and keeps the best of all that it passed. Then a page about the run, and what is
// still taken for what. By default it takes what ./dev fetched: EfficientNet-lite0 and Fashion-MNIST, of which it makes
// such a folder.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <string>
#include <thaw/models/make.hpp>
#include <thaw/recipe/recipe_text.hpp>
#include <thaw/recipe/run_plan.hpp>
#include <thaw/report/class_results.hpp>
#include <thaw/report/console.hpp>
#include <thaw/report/html_report.hpp>
#include <thaw/report/lr_plot.hpp>
#include <thaw/report/run_plot.hpp>
#include <thaw/train/learner.hpp>
#include <thaw/train/loss.hpp>
#include <thaw/train/metric.hpp>
#include <thaw/vision/aug_transforms.hpp>
#include <thaw/vision/contact_sheet.hpp>
#include <thaw/vision/export_info.hpp>
#include <thaw/vision/image_data.hpp>
#include <thaw/vision/image_source.hpp>
#include <thaw/vision/loss_tiles.hpp>
#include <thaw/vision/resize.hpp>
#include <thaw/vision/split.hpp>
#include <thaw/weights/export_script.hpp>
#include <thaw/weights/load.hpp>
#include <vector>

#include "cli.hpp"
#include "fashion_folder.hpp"

namespace {

struct Options : example::Common {
  std::string model = "efficientnet_lite0";
  std::int64_t per_class = 0;  // images to train on; 0: 80 % of all
  double minutes = 0;          // 0: no limit
  bool flip = true;
};

/// What is trained on, and what is held back.
thaw::vision::Split images(const Options& options) {
  if (options.data.empty()) {  // Fashion-MNIST comes with a test set of its own
    const std::filesystem::path data = std::filesystem::path(THAW_DATA_DIR) / "fashion-mnist";
    const auto train = thaw::vision::image_folder(example::fashion_folder(data, options.out, "train", 2000));
    auto test = thaw::vision::image_folder(example::fashion_folder(data, options.out, "t10k", 2000), train.classes);
    if (options.per_class == 0) return {train, test};
    return {thaw::vision::split_per_class(train, options.per_class, options.seed).train, test};
  }
  const auto data = thaw::vision::image_data(options.data, {.per_class = options.per_class, .seed = options.seed});
  fmt::print("{}\n", data.how);
  std::vector<std::string> unreadable;
  const thaw::vision::Split readable{.train = thaw::vision::drop_unreadable(data.train, &unreadable),
                                     .valid = thaw::vision::drop_unreadable(data.valid, &unreadable)};
  if (!unreadable.empty()) fmt::print("{} files left out, such as {}\n", unreadable.size(), unreadable[0]);
  return readable;
}

void run(const Options& options) {
  cv::setNumThreads(1);  // images are read by threads of ours
  const auto [train, valid] = images(options);
  fmt::print("{} images to train on, {} held back, {} classes\n", train.size(), valid.size(), train.classes.size());
  thaw::models::Network model = thaw::models::make(options.model);
  if (!options.weights.empty()) thaw::load_weights(model, options.weights);  // strict: names all that does not fit
  // The plain head has no batch norm: with what is pretrained held, no statistics are left to go stale.
  const std::int64_t classes = std::ssize(train.classes), features = model->head_features();
  replace_head(model, thaw::models::linear_head(features, classes, 0.2, !model->pools_features()));

  // Training images are cropped and changed at random, the others are shown as they are.
  const auto augmented = [&, &train = train](int size) {
    using namespace thaw::vision;
    return ImageSource(
        {.images = train,
         .transforms = {RandomResizedCrop{.size = size, .min_scale = 0.7}, aug_transforms({.flip = options.flip})},
         .normalization = model->statistics(),
         .batch_size = 32,
         .shuffle = true,
         .seed = options.seed});
  };
  const auto plain = [&, &valid = valid](int size) {
    using namespace thaw::vision;
    return ImageSource({.images = valid, .transforms = {Resize{size}}, .normalization = model->statistics()});
  };

  // A page about the run: as each stage ends, it shows what is taken for what, and the images with the largest losses.
  int size = options.size;  // the largest that is tried
  const auto look = [&](thaw::Learner& of_run, thaw::HtmlPart& page) {
    using namespace thaw::vision;
    const ImageSource source = plain(size);
    const thaw::ClassResults results =
        thaw::class_results(of_run, source, {.classes = source.images().classes}, {.most = 18});
    add_to(page, results);
    page.picture(to_picture(contact_sheet(loss_tiles(results.losses, source), {.columns = 6}),
                            "The largest losses: predicted / actual, loss / probability"));
  };
  const thaw::HtmlReport report{
      .path = options.out / "run.html", .title = options.model, .results = look, .results_per_stage = true};
  thaw::Learner learner{model,
                        thaw::LayerGroups::cut_before(model, model->cuts()),
                        thaw::cross_entropy,
                        {.train = augmented(size),
                         .valid = plain(size),
                         .metrics = {thaw::accuracy()},
                         .callbacks = {thaw::Console{}, report}}};

  // Sizes up to that which the network was pretrained for; small images are enlarged, which pays.
  std::vector<int> sizes;
  for (const double part : {3.0 / 7, 4.0 / 7, 5.0 / 7, 1.0})
    sizes.push_back(std::max(32, static_cast<int>(std::lround(part * size / 32)) * 32));
  sizes.back() = size;
  sizes.erase(std::ranges::unique(sizes).begin(), sizes.end());
  const thaw::RecipePlan plan = thaw::make_plan(
      learner, {.epochs = options.epochs,
                .minutes = options.minutes,
                .at_size = [&](int px) { return thaw::LearnerData{.train = augmented(px), .valid = plain(px)}; },
                .sizes = sizes});
  fmt::print("\n{}", plan);
  size = plan.size.value();
  const thaw::RecipeResult result = thaw::run_plan(learner, plan);
  fmt::print("\n{}", result);

  thaw::write_svg(learner.history(), options.out / "run.svg");
  const thaw::vision::ImageSource held_back = plain(size);
  const thaw::ExportInfo info = thaw::vision::export_info(options.model, held_back);
  thaw::export_model(model, options.out / "classifier.safetensors", info);  // which serve reads
  thaw::export_script(model, options.out / "classifier.ts", info);          // and Python, without the network's code
  if (!learner.lr_curves().empty()) thaw::write_svg(learner.lr_curves().back(), options.out / "lr_finder.svg");
  fmt::print("\n{}\n", thaw::class_results(learner, held_back, {.classes = train.classes}));
  fmt::print("ok: valid accuracy {:.3f}, after {} epochs; see {}\n", result.valid.metrics[0].value,
             learner.history().epochs.size(), (options.out / "run.html").string());
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  options.size = 224;
  options.weights = std::filesystem::path(THAW_DATA_DIR) / "efficientnet-lite0-57934424.pth";
  CLI::App app("Fine-tunes an ImageNet network on a folder of images with a folder for each class.");
  options.add_to(app);
  app.add_option("--model", options.model, "which network the weights are of")->capture_default_str();
  app.add_option("--per-class", options.per_class, "images of each class to train on; 0: 80 % of all");
  app.add_option("--minutes", options.minutes, "that all of it may take, about; 0: as long as it takes")
      ->check(CLI::NonNegativeNumber);
  app.add_flag("--flip,!--no-flip", options.flip, "whether left and right may be exchanged");
  return example::main(app, options, argc, argv, [&] { run(options); });
}
