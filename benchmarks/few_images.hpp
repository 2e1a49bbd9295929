// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The image sets of docs/outcome.md: the same validation images whatever the seed, so many training images of each
// class drawn by it.

#include "bench.hpp"

#include <cstdint>
#include <filesystem>
#include <string>
#include <thaw/models/efficientnet_lite.hpp>
#include <thaw/models/heads.hpp>
#include <thaw/thaw.hpp>
#include <thaw/vision/image_data.hpp>
#include <thaw/vision/split.hpp>
#include <thaw/weights/load.hpp>

#include "../examples/fashion_folder.hpp"

namespace bench {

/// What regret.py and outcome.py ask for of a set.
struct FewImages {
  std::string data, weights, work;  // a folder of images or Fashion-MNIST's; EfficientNet-lite0; a folder of their own
  std::uint64_t seed = 1;
  std::int64_t per_class = 30, valid = 500;  // 0 per class: all
  NLOHMANN_DEFINE_TYPE_INTRUSIVE_WITH_DEFAULT(FewImages, data, weights, work, seed, per_class, valid)
};

inline thaw::vision::Split split(const FewImages& of) {
  namespace vision = thaw::vision;
  vision::Split split;
  if (const std::filesystem::path data = of.data; std::filesystem::exists(data / "train-images-idx3-ubyte")) {
    split.train = vision::image_folder(example::fashion_folder(data, of.work, "train", 2000));
    split.valid = vision::image_folder(example::fashion_folder(data, of.work, "t10k", 1000), split.train.classes);
  } else {
    const vision::ImageData found = vision::image_data(data, {.valid = 0.5});
    split = {found.train, found.valid};
  }
  if (of.per_class > 0) split.train = vision::split_per_class(split.train, of.per_class, of.seed).train;
  if (split.valid.size() > of.valid)
    split.valid =
        vision::stratified_split(split.valid, static_cast<double>(of.valid) / static_cast<double>(split.valid.size()))
            .valid;
  return split;
}

/// With a new linear head; pretrained, or with random weights, by the seed.
inline thaw::models::EfficientNetLite network(const FewImages& of, std::int64_t classes, bool pretrained = true) {
  thaw::seed(of.seed);
  auto model = thaw::models::efficientnet_lite0();
  if (pretrained) thaw::load_weights(model, of.weights);
  thaw::models::replace_head(model, thaw::models::linear_head(model->head_features(), classes));
  return model;
}

}  // namespace bench
