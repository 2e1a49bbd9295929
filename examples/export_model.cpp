// SPDX-License-Identifier: BSD-3-Clause
// From training to inference: a network with its classes and its preprocessing, in one file that C++ and Python read.
//
// A ResNet-18 learns ten kinds of clothes from a few images, just enough to have something to export. For one that is
// worth exporting, load torchvision's weights first: thaw::load_weights(model, "resnet18-f37072fd.pth", ...).
// classify.cpp and classify.py read what this writes.

#include <fmt/format.h>

#include <ATen/Context.h>
#include <ATen/core/grad_mode.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <thaw/models/resnet.hpp>
#include <thaw/thaw.hpp>
#include <thaw/weights/export.hpp>
#include <vector>

#include "fashion_mnist.hpp"

int main() try {
  constexpr std::int64_t size = 32;
  const std::filesystem::path folder = THAW_DATA_DIR;
  const std::vector<std::string>& classes = example::fashion_classes;
  const std::vector<double> mean(3, thaw::models::efficientnet_lite_mean[0]);  // as example::batches has it
  const std::vector<double> std(3, thaw::models::efficientnet_lite_std[0]);

  at::manual_seed(42);
  auto model = thaw::models::resnet18({.classes = std::ssize(classes)});
  const auto train = example::batches(example::fashion_mnist(folder / "fashion-mnist", "train", 512), size, true);
  const auto valid_data = example::fashion_mnist(folder / "fashion-mnist", "t10k", 256);
  const auto valid = example::batches(valid_data, size, false);
  thaw::Learner learner{
      model,
      thaw::LayerGroups::cut_before(model, {"fc"}),
      thaw::cross_entropy,
      {.train = train, .valid = valid, .metrics = {thaw::accuracy()}, .callbacks = {thaw::Console{}}}};
  learner.fit({.name = "all", .epochs = 2, .lr = 1e-3});

  const at::NoGradGuard no_grad;
  model->eval();
  const at::Tensor first = example::prepare(valid_data.images.slice(0, 0, 1), size);
  const std::string& seen = classes.at(static_cast<std::size_t>(model->forward(first).argmax().item<std::int64_t>()));
  thaw::export_model(model, "fashion.safetensors",
                     {.model = "resnet18",
                      .classes = classes,
                      .mean = mean,
                      .std = std,
                      .image_size = size,
                      .options = {{"first test image", seen}}});  // so that a reader can see whether it reads all right
  fmt::print("ok: fashion.safetensors holds {} classes and {} MB; the first test image is taken for: {}\n",
             classes.size(), std::filesystem::file_size("fashion.safetensors") / 1'000'000, seen);
} catch (const thaw::Error& error) {
  fmt::print(stderr, "{}\n", error.what());
  return EXIT_FAILURE;
}
