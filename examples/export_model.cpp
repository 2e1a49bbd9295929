// SPDX-License-Identifier: BSD-3-Clause
// From training to inference: a network with its classes and its preprocessing, in one file that C++ and Python read.
//
// A ResNet-18 learns ten kinds of clothes from a few images, just enough to have something to export. For one that is
// worth exporting, load torchvision's weights first: thaw::load_weights(model, "resnet18-f37072fd.pth", ...).
// classify.cpp and classify.py read what this writes.

#include <fmt/format.h>

#include <ATen/Context.h>

#include <cstdlib>
#include <filesystem>
#include <thaw/models/resnet.hpp>
#include <thaw/thaw.hpp>
#include <thaw/vision/classifier.hpp>
#include <thaw/vision/export_info.hpp>
#include <thaw/vision/resize.hpp>
#include <thaw/weights/export_script.hpp>

#include "fashion_folder.hpp"

int main() try {
  using namespace thaw::vision;
  const std::filesystem::path data = std::filesystem::path(THAW_DATA_DIR) / "fashion-mnist";
  const auto source = [](const ImageList& images, bool shuffle) {
    return ImageSource(
        {.images = images, .transforms = {Resize{32}}, .normalization = thaw::imagenet_statistics, .shuffle = shuffle});
  };
  const ImageList images = image_folder(example::fashion_folder(data, ".", "train", 512));
  const ImageList held_back = image_folder(example::fashion_folder(data, ".", "t10k", 256), images.classes);
  const ImageSource train = source(images, true), valid = source(held_back, false);

  at::manual_seed(42);
  auto model = thaw::models::resnet18({.classes = std::ssize(images.classes)});
  thaw::Learner learner{
      model,
      thaw::LayerGroups::cut_before(model, {"fc"}),
      thaw::cross_entropy,
      {.train = train, .valid = valid, .metrics = {thaw::accuracy()}, .callbacks = {thaw::Console{}}}};
  learner.fit({.name = "all", .epochs = 2, .lr = 1e-3});

  // Classes, normalization and size are those of the source that the network was validated on.
  thaw::export_model(model, "fashion.safetensors", export_info("resnet18", valid));  // weights, and which network
  thaw::export_script(model, "fashion.ts", export_info("resnet18", valid));          // a program

  const std::filesystem::path& first = held_back.items[0].path;
  const auto seen = Classifier::load("fashion.safetensors").classify(first);
  fmt::print("ok: fashion.safetensors holds {} classes and {} MB; {} is taken for: {}\n", images.classes.size(),
             std::filesystem::file_size("fashion.safetensors") / 1'000'000, first.string(), seen.name);
} catch (const thaw::Error& error) {
  fmt::print(stderr, "{}\n", error.what());
  return EXIT_FAILURE;
}
