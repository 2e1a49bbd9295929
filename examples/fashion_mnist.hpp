// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <torch/types.h>

#include <ATen/ops/from_blob.h>
#include <ATen/ops/upsample_bilinear2d.h>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <thaw/core/error.hpp>
#include <thaw/data/in_memory.hpp>
#include <thaw/models/efficientnet_lite.hpp>
#include <vector>

namespace example {

/// Reads an idx file of bytes: [N] labels or [N, 28, 28] images. The format: 00 00 08 <dimensions>, then each size in
/// four bytes, highest first, then the bytes.
inline at::Tensor read_idx(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file)
    throw thaw::FileError(path.string(), "cannot be opened", "run ./dev demo, which fetches it, or give --data");
  const std::vector<char> bytes(std::istreambuf_iterator<char>(file), {});
  const auto byte = [&](std::size_t i) { return static_cast<std::int64_t>(static_cast<unsigned char>(bytes.at(i))); };
  std::vector<std::int64_t> sizes;
  std::size_t at = 4;
  std::int64_t count = 1;
  for (std::int64_t i = 0; i < byte(3); ++i, at += 4) {
    sizes.push_back(byte(at) << 24 | byte(at + 1) << 16 | byte(at + 2) << 8 | byte(at + 3));
    count *= sizes.back();
  }
  if (static_cast<std::int64_t>(bytes.size() - at) != count)
    throw thaw::FileError(path.string(), "is not whole", "remove it and run ./dev demo, which fetches it again");
  return at::from_blob(const_cast<char*>(bytes.data() + at), sizes, at::kByte).clone();
}

/// What its labels mean.
inline const std::vector<std::string> fashion_classes{"t-shirt", "trouser", "pullover", "dress", "coat",
                                                      "sandal",  "shirt",   "sneaker",  "bag",   "ankle boot"};

struct FashionMnist {
  at::Tensor images;  ///< bytes [N, 1, 28, 28]
  at::Tensor labels;  ///< [N], 0 to 9
};

/// The first `n` images of "train" or "t10k". They are in random order as published.
inline FashionMnist fashion_mnist(const std::filesystem::path& folder, const std::string& part, std::int64_t n) {
  return {read_idx(folder / (part + "-images-idx3-ubyte")).slice(0, 0, n).unsqueeze(1),
          read_idx(folder / (part + "-labels-idx1-ubyte")).slice(0, 0, n).to(at::kLong)};
}

/// Images as an ImageNet network wants them: enlarged to `size` pixels, three channels, normalised as in pretraining.
inline at::Tensor prepare(const at::Tensor& images, std::int64_t size) {
  const double mean = thaw::models::efficientnet_lite_mean[0], std = thaw::models::efficientnet_lite_std[0];
  const at::Tensor pixels = (images.to(at::kFloat) / 255 - mean) / std;
  return at::upsample_bilinear2d(pixels, {size, size}, /*align_corners=*/false).expand({-1, 3, -1, -1});
}

/// Batches of such images.
inline thaw::InMemory batches(const FashionMnist& data, std::int64_t size, bool shuffle) {
  return thaw::InMemory({.input = data.images,
                         .target = data.labels,
                         .batch_size = 32,
                         .shuffle = shuffle,
                         .transform = [size](const at::Tensor& images) { return prepare(images, size); }});
}

}  // namespace example
