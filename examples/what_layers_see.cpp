// What a network sees, before and after fine-tuning: pictures of its first filters, of what excites its channels, and
// of where it looks when it names a class; then what it gets wrong.
//
//   what_layers_see --data photographs --weights efficientnet-lite0-57934424.pth --out pictures
//
// `photographs` has a folder for each class. Without --data it learns the ten kinds of clothes of Fashion-MNIST.

#include <fmt/format.h>

#include <ATen/Context.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/stack.h>
#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thaw/models/efficientnet_lite.hpp>
#include <thaw/models/heads.hpp>
#include <thaw/thaw.hpp>
#include <thaw/vision/aug_transforms.hpp>
#include <thaw/vision/contact_sheet.hpp>
#include <thaw/vision/first_layer_filters.hpp>
#include <thaw/vision/grad_cam.hpp>
#include <thaw/vision/heat_map.hpp>
#include <thaw/vision/image_source.hpp>
#include <thaw/vision/loss_tiles.hpp>
#include <thaw/vision/patch_sheet.hpp>
#include <thaw/vision/resize.hpp>
#include <thaw/vision/split.hpp>
#include <thaw/vision/strongest_patches.hpp>
#include <thaw/weights/load.hpp>
#include <vector>

#include "fashion_mnist.hpp"

namespace {

using thaw::models::EfficientNetLite;
namespace vision = thaw::vision;

struct Options {
  std::string data, weights = THAW_DATA_DIR "/efficientnet-lite0-57934424.pth", out = "what_layers_see";
  std::int64_t train = 50, valid = 30, size = 128, epochs = 3;
};

struct Data {
  thaw::DataSource train, valid;
  std::vector<std::string> classes;
};

// What the weights expect of pixels. It also leads back from what the network sees to an image that can be shown.
const vision::Normalization normalization = thaw::lite_statistics;

Data photographs(const Options& options) {
  auto split = vision::split_per_class(vision::image_folder(options.data), options.train);
  split.valid = vision::split_per_class(split.valid, options.valid).train;  // all the others would take long to look at
  const vision::Resize resize{static_cast<int>(options.size)};
  const vision::ImageSource train({.images = split.train,
                                   .transforms = {resize, vision::aug_transforms({.flip = false})},
                                   .normalization = normalization,
                                   .batch_size = 32,
                                   .shuffle = true});
  const vision::ImageSource valid({.images = split.valid, .transforms = {resize}, .normalization = normalization});
  return {train, valid, split.train.classes};
}

Data clothes(const Options& options) {
  const std::filesystem::path folder = THAW_DATA_DIR "/fashion-mnist";
  const auto train = example::fashion_mnist(folder, "train", 10 * options.train);
  const auto valid = example::fashion_mnist(folder, "t10k", 10 * options.valid);
  return {example::batches(train, options.size, true),
          example::batches(valid, options.size, false),
          {"T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"}};
}

/// Some samples from all over a source.
thaw::Batch some_of(const thaw::DataSource& source, std::int64_t count) {
  const std::int64_t every = std::max<std::int64_t>(1, source.numbered()->samples / count);
  std::vector<at::Tensor> images, targets;
  std::int64_t i = 0;
  thaw::BatchStream next = source.numbered()->in_order(0);
  while (const std::optional<thaw::Batch> batch = next())
    for (std::int64_t j = 0; j < batch->size(); ++j, ++i)
      if (i % every == every / 2 && std::ssize(images) < count) {
        images.push_back(batch->input[0][j]);
        targets.push_back(batch->target[0][j]);
      }
  return {at::stack(images), at::stack(targets)};
}

/// Where the network looks: each image, and the same under Grad-CAM's map for the class that it predicts.
cv::Mat where_it_looks(const EfficientNetLite& model, const at::Tensor& images, const std::vector<std::string>& classes,
                       const std::string& title) {
  const vision::GradCam cam = vision::grad_cam(model, images);
  std::vector<vision::Tile> tiles;
  for (std::int64_t i = 0; i < images.size(0); ++i) {
    const cv::Mat image = vision::to_image(images[i], normalization);
    const auto name = classes.at(static_cast<std::size_t>(cam.classes[i].item<std::int64_t>()));
    tiles.push_back({image});
    tiles.push_back(
        {vision::heat_map(image, cam.maps[i]), fmt::format("{} {:.2f}", name, cam.probabilities[i].item<double>())});
  }
  return vision::contact_sheet(tiles, {.title = title, .columns = 8, .tile = 128});
}

/// How much of the probability of its class an image loses when a patch of it is covered in grey: the one where
/// Grad-CAM's map is highest, and the one where it is lowest. If the map is right, the first costs more.
struct Covered {
  double hottest = 0, coldest = 0;
};

Covered cover(thaw::Learner& learner, const EfficientNetLite& model, const at::Tensor& images) {
  const vision::GradCam cam = vision::grad_cam(model, images);
  const std::int64_t h = cam.maps.size(1), w = cam.maps.size(2);
  const auto probability_without = [&](const at::Tensor& cells) {
    at::Tensor covered = images.clone();
    for (std::int64_t i = 0; i < images.size(0); ++i) {
      const std::int64_t y = cells[i].item<std::int64_t>() / w, x = cells[i].item<std::int64_t>() % w;
      const std::int64_t height = images.size(2) / h, width = images.size(3) / w;
      covered[i].slice(1, y * height, (y + 1) * height).slice(2, x * width, (x + 1) * width).zero_();
    }
    const at::Tensor all = learner.predict(thaw::Fields(covered)).softmax(1);
    return all.gather(1, cam.classes.unsqueeze(1)).mean().item<double>();
  };
  const at::Tensor flat = cam.maps.flatten(1);
  const double whole = cam.probabilities.mean().item<double>();
  return {whole - probability_without(flat.argmax(1)), whole - probability_without(flat.argmin(1))};
}

void write(const cv::Mat& sheet, const std::filesystem::path& path) {
  vision::write_image(sheet, path);
  fmt::print("  {}\n", path.string());
}

/// Pictures of a network as it is now. `seen`: what excited its channels earlier, to look at the same ones again.
std::vector<vision::StrongestPatches> look(const EfficientNetLite& model, const Data& data,
                                           const std::filesystem::path& out, const std::string& when,
                                           const std::vector<vision::StrongestPatches>& seen = {}) {
  fmt::print("{}:\n", when);
  write(vision::contact_sheet(vision::first_layer_filters(*model),
                              {.title = "filters, " + when, .columns = 8, .tile = 48, .font = 7, .smooth = false}),
        out / ("filters_" + when + ".png"));
  // Any part of the network will do, by the name that forward_parts() gives it: edges and colours early on, then
  // textures, then parts of things.
  std::vector<vision::StrongestPatches> all;
  for (const std::string part : {"_blocks.1", "_blocks.6", "_blocks.14"}) {
    vision::StrongestPatchesOptions options{.part = part};
    for (const vision::StrongestPatches& earlier : seen)
      if (earlier.part == part)
        for (const vision::ChannelPatches& channel : earlier.channels) options.channels.push_back(channel.channel);
    all.push_back(vision::strongest_patches(model, data.valid, options));
    write(vision::patch_sheet(all.back(), normalization), out / (part.substr(1) + "_patches_" + when + ".png"));
    write(vision::patch_sheet(all.back(), normalization, vision::PatchView::image),
          out / (part.substr(1) + "_images_" + when + ".png"));
  }
  write(where_it_looks(model, some_of(data.valid, 16).input, data.classes, "where it looks, " + when),
        out / ("grad_cam_" + when + ".png"));
  return all;
}

int run(const Options& options) {
  at::manual_seed(42);
  const std::filesystem::path out = options.out;
  std::filesystem::create_directories(out);
  const Data data = options.data.empty() ? clothes(options) : photographs(options);
  auto model = thaw::models::efficientnet_lite0();
  thaw::load_weights(model, options.weights);
  thaw::models::replace_head(model, std::ssize(data.classes));
  auto groups = thaw::LayerGroups::cut_before(model, thaw::models::efficientnet_lite_cuts());
  thaw::Learner learner{
      model,
      groups,
      thaw::cross_entropy,
      {.train = data.train, .valid = data.valid, .metrics = {thaw::accuracy()}, .callbacks = {thaw::Console{}}}};

  // The new head alone: the body sees what ImageNet taught it to see.
  learner.fit({.name = "head", .epochs = options.epochs, .freeze = thaw::FreezeTo{-1}, .lr = 3e-3});
  const auto before = look(model, data, out, "frozen");
  const double accuracy_before = thaw::ConfusionMatrix(learner, data.valid).accuracy();

  // All of it, the body at lower rates: later layers come to see what matters here.
  learner.fit({.name = "thawed",
               .epochs = options.epochs,
               .freeze = thaw::Unfrozen{},
               .lr = thaw::DiscriminativeLR::slice(1e-4, 1e-3),
               .norm = thaw::hold_everywhere});
  const auto after = look(model, data, out, "thawed", before);

  const thaw::ConfusionMatrix matrix(learner, data.valid, {.classes = data.classes});
  fmt::print("\n{}\n{}\n{}\n", matrix, thaw::to_text(thaw::most_confused_table(matrix, 2)), thaw::ClassReport(matrix));
  thaw::write_svg(matrix, out / "confusion.svg");
  const auto worst = thaw::top_losses(learner, data.valid, {.most = 12});
  fmt::print("{}", thaw::to_text(thaw::losses_table(worst, data.classes)));
  write(vision::contact_sheet(vision::loss_tiles(worst, data.valid, normalization, data.classes),
                              {.title = "predicted / actual, loss / probability", .columns = 6}),
        out / "top_losses.png");

  // Is it true what the pictures say?
  const Covered loss = cover(learner, model, some_of(data.valid, 64).input);
  fmt::print("covering the place where it looks most costs {:.3f} of the class's probability, where least {:.3f}\n",
             loss.hottest, loss.coldest);
  if (!(loss.hottest > loss.coldest) || !(matrix.accuracy() > accuracy_before)) {
    fmt::print(stderr, "the network does not look where Grad-CAM says, or thawing did not pay\n");
    return EXIT_FAILURE;
  }
  fmt::print("ok: {:.3f} with the body frozen, {:.3f} thawed\n", accuracy_before, matrix.accuracy());
  return EXIT_SUCCESS;
}

}  // namespace

int main(int argc, char** argv) try {
  Options options;
  CLI::App app{"Pictures of what a network sees, before and after fine-tuning"};
  app.add_option("--data", options.data, "folder with a folder of images for each class; Fashion-MNIST without");
  app.add_option("--weights", options.weights, "EfficientNet-lite0's of ImageNet");
  app.add_option("--out", options.out, "folder for the pictures");
  app.add_option("--train", options.train, "images to train on, of each class");
  app.add_option("--valid", options.valid, "images to validate with and to look at, of each class");
  app.add_option("--size", options.size, "pixels");
  app.add_option("--epochs", options.epochs, "of each of the two stages");
  CLI11_PARSE(app, argc, argv);
  return run(options);
} catch (const thaw::Error& error) {
  fmt::print(stderr, "{}\n", error.what());
  return EXIT_FAILURE;
}
