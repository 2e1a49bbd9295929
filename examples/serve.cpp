// SPDX-License-Identifier: BSD-3-Clause
// Inference with what image_classifier exported: reads the network, its classes and its preprocessing from one file,
// then says of each image in a folder what it shows. Needs no Learner and no optimizer.
//
//     serve --model out/classifier.safetensors --data holiday/ > predictions.csv

#include <fmt/format.h>

#include <ATen/core/grad_mode.h>
#include <ATen/ops/stack.h>
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <iterator>
#include <string>
#include <thaw/vision/image_list.hpp>
#include <thaw/vision/normalization.hpp>
#include <thaw/vision/read_image.hpp>
#include <thaw/vision/resize.hpp>
#include <thaw/vision/transforms.hpp>
#include <thaw/weights/export.hpp>
#include <thaw/weights/load.hpp>
#include <vector>

#include "cli.hpp"
#include "networks.hpp"

namespace {

struct Options {
  std::filesystem::path model = "out/classifier.safetensors", data;
  std::size_t batch_size = 16;
};

void run(const Options& options) {
  const thaw::ExportInfo info = thaw::read_export(options.model);
  const example::Network network = example::network(info.model, std::ssize(info.classes));
  thaw::load_weights(*network.module, options.model);
  network.module->eval();
  const at::NoGradGuard no_grad;

  const thaw::vision::Normalization normalization(info.mean, info.std);
  const thaw::vision::Transforms resize{thaw::vision::Resize{static_cast<int>(info.image_size)}};
  const auto prepared = [&](const std::filesystem::path& path) {
    thaw::vision::Sample sample{.image = thaw::vision::read_image(path)};
    thaw::vision::Random unused(0);
    resize(sample, unused);
    return thaw::vision::to_tensor(sample.image, normalization);
  };

  const std::vector<std::filesystem::path> files = thaw::vision::image_files(options.data);
  std::size_t right = 0, known = 0;  // of images in a folder that is named as a class
  const auto start = std::chrono::steady_clock::now();
  fmt::print("image,class,probability\n");
  for (std::size_t at = 0; at < files.size(); at += options.batch_size) {
    const std::size_t end = std::min(at + options.batch_size, files.size());
    std::vector<at::Tensor> batch;
    for (std::size_t i = at; i < end; ++i) batch.push_back(prepared(files[i]));
    const at::Tensor probabilities = network.forward(at::stack(batch)).softmax(1);
    for (std::size_t i = at; i < end; ++i) {
      const at::Tensor of_image = probabilities[static_cast<std::int64_t>(i - at)];
      const std::int64_t best = of_image.argmax().item<std::int64_t>();
      const std::string& name = info.classes.at(static_cast<std::size_t>(best));
      const std::string folder = files[i].parent_path().filename().string();
      known += std::ranges::count(info.classes, folder) > 0 ? 1 : 0;
      right += folder == name ? 1 : 0;
      fmt::print("\"{}\",\"{}\",{:.4f}\n", files[i].string(), name, of_image[best].item<double>());
    }
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  fmt::print(stderr, "{} images, {:.1f} a second\n", files.size(), static_cast<double>(files.size()) / seconds);
  if (known == files.size())  // a test set, then
    fmt::print(stderr, "ok: {:.3f} of them are what their folder says\n",
               static_cast<double>(right) / static_cast<double>(known));
  else if (known > 0)
    fmt::print(stderr, "{} of them are in a folder that is called as a class, {} are not: no accuracy\n", known,
               files.size() - known);
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Says what the images in a folder show, by a network that image_classifier exported.");
  app.add_option("--model", options.model, "the exported network")->capture_default_str();
  app.add_option("--data", options.data, "folder of images")->required();
  app.add_option("--batch-size", options.batch_size)->capture_default_str()->check(CLI::PositiveNumber);
  return example::main(app, argc, argv, [&] { run(options); });
}
