// SPDX-License-Identifier: BSD-3-Clause
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <torch/nn/modules/container/functional.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <memory>
#include <string>
#include <thaw/groups/layer_groups.hpp>
#include <thaw/train/loss.hpp>
#include <thaw/vision/aug_transforms.hpp>
#include <thaw/vision/resize.hpp>
#include <thaw/vision/show.hpp>
#include <thaw/vision/write_image.hpp>
#include <vector>

#include "support/folder.hpp"
#include "support/pictures.hpp"

using Catch::Matchers::ContainsSubstring;
using thaw::test::Folder;
using thaw::test::same;
using thaw::vision::overlay;
namespace vision = thaw::vision;

namespace {

constexpr int side = 16;
const vision::Normalization statistics{thaw::imagenet_statistics};

/// Images of which the i-th is gray 20 i, of class i % 2; with a mask whose left half is of that class.
vision::ImageSource source(const Folder& folder, vision::Predict predict, bool shuffle = false) {
  vision::ImageList list{.classes = {"cat", "dog"}};
  for (int i = 0; i < 6; ++i) {
    const auto image = folder / (std::to_string(i) + ".png"), mask = folder / ("mask" + std::to_string(i) + ".png");
    vision::write_image(thaw::test::plain(side, side, cv::Scalar::all(20.0 * i)), image);
    cv::Mat classes = thaw::test::plain(side, side, {0}, CV_8U);
    classes.colRange(0, side / 2) = i % 2;
    vision::write_image(classes, mask);
    list.items.push_back({.path = image, .labels = {i % 2}, .mask = mask});
  }
  return vision::ImageSource({.images = list,
                              .transforms = {vision::Resize{side}},
                              .normalization = statistics,
                              .predict = predict,
                              .batch_size = 2,
                              .shuffle = shuffle,
                              .seed = 3});
}

/// The image of index i of `source`, and the sheet that is expected of tiles.
cv::Mat gray(int i) {
  return thaw::test::plain(side, side, cv::Scalar::all(20.0 * i));
}

/// Says dog (class 1) of all images, with a probability of .75; of pixels, where there are masks.
struct SaysDogImpl : torch::nn::Module {
  explicit SaysDogImpl(bool pixels_) : pixels(pixels_) { bias = register_parameter("bias", at::zeros({2})); }
  at::Tensor forward(const at::Tensor& x) {
    const at::Tensor logits = at::tensor({0.0F, 1.0986123F}) + bias * 0;
    if (is_training()) return logits.expand({x.size(0), 2}) * 0;
    if (pixels) return logits.view({1, 2, 1, 1}).expand({x.size(0), 2, x.size(2), x.size(3)});
    return logits.expand({x.size(0), 2});
  }
  bool pixels;
  at::Tensor bias;
};
TORCH_MODULE(SaysDog);

struct Trained {
  Trained(const vision::ImageSource& data, bool pixels)
      : model(pixels),
        learner(model, thaw::LayerGroups::of_modules(model, {{model}}), thaw::cross_entropy,
                {.train = data, .valid = data}) {}
  SaysDog model;
  thaw::Learner learner;
};

}  // namespace

TEST_CASE("show_batch: what the network sees of an epoch's first images, in colours again, with their classes") {
  const Folder folder;
  const vision::ContactSheetOptions sheet{.columns = 2, .tile = 32};
  const cv::Mat shown = show_batch(source(folder, vision::Predict::label), {.most = 3, .sheet = sheet});
  CHECK(same(shown, vision::contact_sheet({{gray(0), "cat"}, {gray(1), "dog"}, {gray(2), "cat"}}, sheet)));

  const auto shuffled = source(folder, vision::Predict::label, true);
  const thaw::Batch first = shuffled.stream(1)().value();
  const cv::Mat of_epoch = show_batch(shuffled, {.most = 2, .epoch = 1, .sheet = sheet});
  CHECK(same(of_epoch, show_batch(first, statistics, {"cat", "dog"}, {.sheet = sheet})));
  CHECK_FALSE(same(of_epoch, show_batch(shuffled, {.most = 2, .epoch = 2, .sheet = sheet})));
  CHECK(show_batch(shuffled).cols == show_batch(shuffled, {.most = 6}).cols);  // no more than there are
}

TEST_CASE("show_batch: several classes by name, masks in colours; numbers and no images are errors") {
  const Folder folder;
  const vision::ContactSheetOptions sheet{.columns = 3, .tile = 32};
  auto options = source(folder, vision::Predict::label).options();
  options.predict = vision::Predict::labels;
  options.images.items[0].labels = {0, 1};
  options.images.items[1].labels = {};
  CHECK(same(show_batch(vision::ImageSource(options), {.most = 3, .sheet = sheet}),
             vision::contact_sheet({{gray(0), "cat, dog"}, {gray(1), "-"}, {gray(2), "cat"}}, sheet)));

  const auto masks = source(folder, vision::Predict::mask);
  cv::Mat half = thaw::test::plain(side, side, {0}, CV_8U);
  half.colRange(0, side / 2) = 1;
  const cv::Mat none = thaw::test::plain(side, side, {0}, CV_8U);
  vision::ContactSheetOptions with_legend = sheet;
  with_legend.legend = vision::class_legend({"cat", "dog"});
  CHECK(same(show_batch(masks, {.most = 2, .sheet = sheet}),
             vision::contact_sheet({{overlay(gray(0), none)}, {overlay(gray(1), half)}}, with_legend)));

  const auto complaint = [&](const at::Tensor& target) {
    try {
      (void)vision::show_batch({at::zeros({2, 3, 4, 4}), target}, statistics, {"cat", "dog"});
    } catch (const thaw::DataError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  CHECK_THAT(complaint(at::zeros({2, 3})), ContainsSubstring("show_batch: targets [2, 3] of Float, and 2 classes"));
  CHECK_THROWS_AS(show_batch(masks, {.most = 0}), thaw::ConfigError);
}

TEST_CASE("show_results: targets and predictions in evaluation mode, of images from the whole list") {
  const Folder folder;
  const vision::ContactSheetOptions sheet{.columns = 2, .tile = 48};
  const auto labels = source(folder, vision::Predict::label);
  Trained trained(labels, false);
  trained.model->train();
  CHECK(same(show_results(trained.learner, labels, {.most = 2, .sheet = sheet}),
             vision::contact_sheet({{gray(0), "cat\ndog 0.75", false}, {gray(3), "dog\ndog 0.75", true}}, sheet)));
  CHECK(trained.model->is_training());

  auto options = labels.options();
  options.predict = vision::Predict::labels;
  options.images.items[0].labels = {0, 1};
  CHECK(same(show_results(trained.learner, vision::ImageSource(options), {.most = 1, .sheet = sheet}),
             vision::contact_sheet({{gray(0), "cat, dog\ncat, dog", true}}, sheet)));  // sigmoid(0) is .5
}

TEST_CASE("show_results: a mask's target beside its prediction") {
  const Folder folder;
  const auto masks = source(folder, vision::Predict::mask);
  const SaysDog model(true);
  thaw::Learner learner(model, thaw::LayerGroups::of_modules(model, {{model}}), thaw::cross_entropy,
                        {.train = masks, .valid = masks});
  cv::Mat half = thaw::test::plain(side, side, {0}, CV_8U);
  half.colRange(0, side / 2) = 1;
  const cv::Mat all = thaw::test::plain(side, side, {1}, CV_8U), none = thaw::test::plain(side, side, {0}, CV_8U);
  CHECK(same(show_results(learner, masks, {.most = 2}),
             vision::contact_sheet({{overlay(gray(0), none), "target"},
                                    {overlay(gray(0), all), "prediction"},
                                    {overlay(gray(3), half), "target"},
                                    {overlay(gray(3), all), "prediction"}},
                                   {.legend = vision::class_legend({"cat", "dog"}), .columns = 2})));
}
