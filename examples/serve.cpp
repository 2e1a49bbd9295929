// SPDX-License-Identifier: BSD-3-Clause
// Inference in batches with what image_classifier exported: says of each image in a folder what it shows.
//
//     serve --model out/classifier.safetensors --data holiday/ > predictions.csv

#include <fmt/format.h>

#include <ATen/ops/stack.h>
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>
#include <thaw/vision/classifier.hpp>
#include <thaw/vision/image_list.hpp>
#include <vector>

#include "cli.hpp"

namespace {

struct Options {
  std::filesystem::path model = "out/classifier.safetensors", data;
  std::size_t batch_size = 16;
};

void run(const Options& options) {
  const auto classifier = thaw::vision::Classifier::load(options.model);
  const std::vector<std::string>& classes = classifier.info().classes;
  const std::vector<std::filesystem::path> files = thaw::vision::image_files(options.data);
  std::size_t right = 0, known = 0;  // of images in a folder that is named as a class
  const auto start = std::chrono::steady_clock::now();
  fmt::print("image,class,probability\n");
  for (std::size_t at = 0; at < files.size(); at += options.batch_size) {
    const std::size_t end = std::min(at + options.batch_size, files.size());
    std::vector<at::Tensor> batch;
    for (std::size_t i = at; i < end; ++i) batch.push_back(classifier.prepare(files[i]));
    const at::Tensor probabilities = classifier.probabilities(at::stack(batch));
    for (std::size_t i = at; i < end; ++i) {
      const auto seen = classifier.ranked_by(probabilities[static_cast<std::int64_t>(i - at)]);
      const std::string folder = files[i].parent_path().filename().string();
      known += std::ranges::count(classes, folder) > 0 ? 1 : 0;
      right += folder == seen.name ? 1 : 0;
      fmt::print("\"{}\",\"{}\",{:.4f}\n", files[i].string(), seen.name, seen.probability);
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
