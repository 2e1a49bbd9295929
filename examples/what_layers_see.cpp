// SPDX-License-Identifier: BSD-3-Clause
// What a network sees, before and after fine-tuning: pictures of its first filters, of what excites its channels, and
// of where it looks when it names a class; then what it gets wrong.
//
//   what_layers_see --data photographs --weights efficientnet-lite0-57934424.pth --out pictures
//
// `photographs` has a folder for each class. Without --data it learns the ten kinds of clothes of Fashion-MNIST.

#include <fmt/format.h>

#include <ATen/ops/avg_pool2d.h>
#include <ATen/ops/stack.h>
#include <c10/core/GradMode.h>
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
#include <utility>
#include <vector>

#include "cli.hpp"
#include "fashion_mnist.hpp"

namespace {

using thaw::models::EfficientNetLite;
namespace vision = thaw::vision;

struct Options : example::Common {
  std::int64_t train = 50, valid = 30;  // of each class
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
  const vision::Resize resize{options.size};
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
  return {example::batches(train, options.size, true), example::batches(valid, options.size, false),
          example::fashion_classes};
}

/// Some samples from all over a source.
thaw::Batch some_of(const thaw::DataSource& source, std::int64_t count) {
  const std::int64_t every = std::max<std::int64_t>(1, source.indexed()->samples / count);
  std::vector<at::Tensor> images, targets;
  std::int64_t i = 0;
  thaw::BatchStream next = source.indexed()->in_order(0);
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

at::Tensor blurred(const at::Tensor& images) {
  const std::int64_t reach = images.size(2) / 8;
  return at::avg_pool2d(images, 2 * reach + 1, /*stride=*/1, reach, /*ceil_mode=*/false, /*count_include_pad=*/false);
}

/// Is it true what Grad-CAM says? How much of the probability of its class an image loses, on average, when a place of
/// it is blurred: first where the map is highest, then where it is lowest.
std::pair<double, double> lost_by_blurring(thaw::Learner& learner, const EfficientNetLite& model,
                                           const at::Tensor& images) {
  const vision::GradCam cam = vision::grad_cam(model, images);
  const std::int64_t w = cam.maps.size(2), height = images.size(2) / cam.maps.size(1), width = images.size(3) / w;
  const at::Tensor smooth = blurred(images);
  const auto lost = [&](const at::Tensor& cells) {
    at::Tensor changed = images.clone();
    for (std::int64_t i = 0; i < images.size(0); ++i) {
      const std::int64_t y = cells[i].item<std::int64_t>() / w * height, x = cells[i].item<std::int64_t>() % w * width;
      const auto place = [&](const at::Tensor& all) { return all[i].slice(1, y, y + height).slice(2, x, x + width); };
      place(changed).copy_(place(smooth));
    }
    const at::Tensor all = learner.predict(thaw::Fields(changed)).softmax(1);
    return (cam.probabilities - all.gather(1, cam.classes.unsqueeze(1)).squeeze(1)).mean().item<double>();
  };
  const at::Tensor flat = cam.maps.flatten(1);
  return {lost(flat.argmax(1)), lost(flat.argmin(1))};
}

/// Is it true that its patches are what excites a channel? The share of their activations that is left, on average,
/// when all but the patches is blurred, and when the patches are. The model, which has to be in evaluation mode, is run
/// part by part, up to the one in question.
std::pair<double, double> left_by_blurring(EfficientNetLite model, const vision::StrongestPatches& found) {
  const c10::NoGradGuard no_grad;
  const at::Tensor smooth = blurred(found.images);
  const auto activation = [&](at::Tensor image, std::int64_t channel) {
    for (const thaw::ForwardPart& part : thaw::forward_parts(model)) {
      image = part.forward({image})[0];
      if (part.name == found.part) break;
    }
    return image[0][channel].max().item<double>();
  };
  double inside = 0, outside = 0, whole = 0;
  for (const vision::ChannelPatches& channel : found.channels)
    for (const vision::Patch& patch : channel.patches) {
      const cv::Rect& box = patch.box;
      const auto mixed = [&](const at::Tensor& within, const at::Tensor& around) {
        at::Tensor image = around[patch.image].clone();
        const auto place = [&](const at::Tensor& all) {
          return all.slice(1, box.y, box.y + box.height).slice(2, box.x, box.x + box.width);
        };
        place(image).copy_(place(within[patch.image]));
        return image.unsqueeze(0);
      };
      inside += activation(mixed(found.images, smooth), channel.channel);
      outside += activation(mixed(smooth, found.images), channel.channel);
      whole += patch.activation;
    }
  return {inside / whole, outside / whole};
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

void run(const Options& options) {
  const Data data = options.data.empty() ? clothes(options) : photographs(options);
  auto model = thaw::models::efficientnet_lite0();
  thaw::load_weights(model, options.weights);
  thaw::models::replace_head(model, std::ssize(data.classes));
  auto groups = thaw::LayerGroups::cut_before(model, thaw::models::efficientnet_lite_cuts());

  // A page about the run; as each stage ends it shows what is mistaken for what, and where the network looks.
  const at::Tensor shown = some_of(data.valid, 16).input;
  const auto results = [&](thaw::Learner& learner, thaw::HtmlPart& page) {
    thaw::add_to(page, thaw::class_results(learner, data.valid, {.classes = data.classes}));
    page.picture(vision::to_picture(where_it_looks(model, shown, data.classes, ""), "Where it looks (Grad-CAM)"));
  };
  thaw::Learner learner{model,
                        groups,
                        thaw::cross_entropy,
                        {.train = data.train,
                         .valid = data.valid,
                         .metrics = {thaw::accuracy()},
                         .callbacks = {thaw::Console{}, thaw::HtmlReport{.path = options.out / "run.html",
                                                                         .results = results,
                                                                         .results_per_stage = true}}}};

  // The new head alone: the body sees what ImageNet taught it to see.
  const auto frozen = learner.fit({.name = "head", .epochs = options.epochs, .freeze = thaw::FreezeTo{-1}, .lr = 3e-3});
  const auto before = look(model, data, options.out, "frozen");

  // All of it, the body at lower rates: later layers come to see what matters here.
  const auto thawed = learner.fit({.name = "thawed",
                                   .epochs = options.epochs,
                                   .freeze = thaw::Unfrozen{},
                                   .lr = thaw::DiscriminativeLR::slice(3e-5, 3e-4),
                                   .norm = thaw::hold_everywhere});
  const auto after = look(model, data, options.out, "thawed", before);

  // What does it get wrong?
  const auto [matrix, worst] = thaw::class_results(learner, data.valid, {.classes = data.classes}, {.most = 12});
  fmt::print("\n{}\n{}\n{}\n", matrix, thaw::to_text(thaw::most_confused_table(matrix, 2)), thaw::ClassReport(matrix));
  thaw::write_svg(matrix, options.out / "confusion.svg");
  fmt::print("{}", thaw::to_text(thaw::losses_table(worst, data.classes)));
  write(vision::contact_sheet(vision::loss_tiles(worst, data.valid, normalization, data.classes),
                              {.title = "predicted / actual, loss / probability", .columns = 6}),
        options.out / "top_losses.png");

  // A picture is easily believed.
  const auto [most, least] = lost_by_blurring(learner, model, some_of(data.valid, 128).input);
  fmt::print("blurring where it looks most costs {:.3f} of the class's probability, where least {:.3f}\n", most, least);
  model->eval();
  const auto [sharp, blurry] = left_by_blurring(model, after[1]);
  fmt::print(
      "of what excites channels of {}, {:.2f} is left where all but its patches is blurred, {:.2f} where they are\n",
      after[1].part, sharp, blurry);
  if (!(sharp > blurry))
    throw thaw::DataError("what_layers_see", "what is outside of the patches excites channels more than they do",
                          "train longer, or look at an earlier part");
  fmt::print("ok: accuracy {:.3f} with the body frozen, {:.3f} thawed\n", frozen.valid->metrics[0].value,
             thawed.valid->metrics[0].value);
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  options.weights = std::filesystem::path(THAW_DATA_DIR) / "efficientnet-lite0-57934424.pth";
  options.epochs = 3;
  options.size = 128;
  CLI::App app("Pictures of what a network sees, before and after fine-tuning.");
  options.add_to(app);
  app.add_option("--train", options.train, "images of each class to train on")->capture_default_str();
  app.add_option("--valid", options.valid, "images of each class to validate with and to look at")
      ->capture_default_str();
  return example::main(app, options, argc, argv, [&] { run(options); });
}
