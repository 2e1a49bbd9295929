// SPDX-License-Identifier: BSD-3-Clause
// Inference in C++ with what export_model.cpp wrote: the file says which classes, which size and which pixels.

#include <fmt/format.h>

#include <ATen/core/grad_mode.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/upsample_bilinear2d.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iterator>
#include <string>
#include <thaw/core/error.hpp>
#include <thaw/models/resnet.hpp>
#include <thaw/weights/export.hpp>
#include <thaw/weights/load.hpp>

#include "fashion_mnist.hpp"  // for an image to classify: yours may come from anywhere

int main() try {
  const auto [image, label] = example::fashion_mnist(THAW_DATA_DIR "/fashion-mnist", "t10k", 1);  // bytes [1, 1, H, W]
  const thaw::ExportInfo info = thaw::read_export("fashion.safetensors");
  auto model = thaw::models::resnet18({.classes = std::ssize(info.classes)});
  thaw::load_weights(model, "fashion.safetensors");
  model->eval();

  const at::NoGradGuard no_grad;
  const auto mean = at::tensor(info.mean).view({-1, 1, 1}), std = at::tensor(info.std).view({-1, 1, 1});
  const at::Tensor x =
      (at::upsample_bilinear2d(image.to(at::kFloat), {info.image_size, info.image_size}, false) / 255 - mean) / std;
  const at::Tensor probabilities = model->forward(x.to(at::kFloat)).softmax(1)[0];
  const std::int64_t best = probabilities.argmax().item<std::int64_t>();
  const std::string& seen = info.classes.at(static_cast<std::size_t>(best));
  if (const std::string& then = info.options.at("first test image"); seen != then)
    throw thaw::FileError("fashion.safetensors", "now gives " + seen + ", when it was exported it gave " + then,
                          "prepare images as in training, and build the same network");
  fmt::print("ok: {} (probability {:.2f}), as when it was exported; it is {}\n", seen,
             probabilities[best].item<double>(),
             info.classes.at(static_cast<std::size_t>(label[0].item<std::int64_t>())));
} catch (const std::exception& error) {
  fmt::print(stderr, "{}\n", error.what());
  return EXIT_FAILURE;
}
