// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/vision/image_source.hpp>

#include <ATen/Context.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/tensor.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/pooling.h>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <thaw/report/class_results.hpp>
#include <thaw/report/confusion_matrix.hpp>
#include <thaw/train/learner.hpp>
#include <thaw/train/loss.hpp>
#include <thaw/vision/aug_transforms.hpp>
#include <thaw/vision/predict.hpp>
#include <thaw/vision/random_erasing.hpp>
#include <thaw/vision/resize.hpp>
#include <thaw/vision/write_image.hpp>

#include "support/image_bytes.hpp"
#include "support/pictures.hpp"
#include "support/samples.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using thaw::test::all;
using thaw::test::Folder;
using thaw::test::same;
using thaw::vision::ImageItem;
using thaw::vision::ImageList;
using thaw::vision::ImageSource;
using thaw::vision::ImageSourceOptions;
using thaw::vision::Predict;
using thaw::vision::Resize;
using thaw::vision::Transforms;

namespace {

const thaw::vision::Normalization bytes_to_unit{{0, 0, 0}, {1, 1, 1}};

/// Images of which the i-th is all of red 10 i, with class i % 3; its mask is its class, its keypoint (i, 2 i).
ImageList red_images(const Folder& folder, int count) {
  ImageList list{.classes = {"a", "b", "c"}};
  for (int i = 0; i < count; ++i) {
    const std::string name = std::to_string(i) + ".png";
    thaw::vision::write_image(thaw::test::plain(20, 24, {10.0 * i, 0, 0}), folder / name);
    thaw::vision::write_image(thaw::test::plain(20, 24, {i % 3 + 0.0}, CV_8U), folder / ("mask" + name));
    list.items.push_back({.path = folder / name,
                          .labels = {i % 3},
                          .mask = folder / ("mask" + name),
                          .keypoints = {{i, 2 * i}},
                          .values = {static_cast<float>(i), 0.5F}});
  }
  return list;
}

/// Which images these are.
std::vector<std::int64_t> numbers(const at::Tensor& images) {
  const at::Tensor reds = (images.select(1, 0).amax({1, 2}) * 25.5).round().to(at::kLong);
  return {reds.data_ptr<std::int64_t>(), reds.data_ptr<std::int64_t>() + reds.numel()};
}

bool same_batches(const std::vector<thaw::Batch>& a, const std::vector<thaw::Batch>& b) {
  bool same = a.size() == b.size();
  for (std::size_t i = 0; same && i < a.size(); ++i)
    same = at::equal(a[i].input[0], b[i].input[0]) && at::equal(a[i].target[0], b[i].target[0]);
  return same;
}

const Transforms random_transforms{Resize{16}, thaw::vision::aug_transforms(), thaw::vision::RandomErasing{}};

}  // namespace

TEST_CASE("images come in batches, with their classes, in order or shuffled by seed and epoch") {
  const Folder folder;
  ImageSourceOptions options{
      .images = red_images(folder, 10), .transforms = {Resize{8}}, .normalization = bytes_to_unit, .batch_size = 4};
  const ImageSource source(options);
  CHECK(source.samples() == 10);
  CHECK(source.batches() == 3);
  CHECK(source.last_batch() == 2);
  const auto batches = all(source);
  REQUIRE(batches.size() == 3);
  CHECK(batches[0].input[0].sizes() == at::IntArrayRef({4, 3, 8, 8}));
  CHECK(numbers(batches[1].input[0]) == std::vector<std::int64_t>{4, 5, 6, 7});
  CHECK(at::equal(batches[1].target[0], at::tensor({1, 2, 0, 1})));
  CHECK(at::equal(source.targets()[0], at::tensor({0, 1, 2, 0, 1, 2, 0, 1, 2, 0})));

  options.shuffle = options.drop_last = true;
  const ImageSource shuffled(options);
  std::vector<std::int64_t> seen;
  for (const thaw::Batch& batch : all(shuffled, 3)) {
    for (const std::int64_t i : numbers(batch.input[0])) {
      CHECK(batch.target[0][std::ssize(seen) % 4].item<std::int64_t>() == i % 3);
      seen.push_back(i);
    }
  }
  CHECK(seen.size() == 8);
  CHECK_FALSE(std::ranges::is_sorted(seen));
  CHECK(same_batches(all(shuffled, 3), all(shuffled, 3)));
  CHECK_FALSE(same_batches(all(shuffled, 3), all(shuffled, 4)));
}

TEST_CASE("what happens to an image depends on seed, epoch and its place alone: not on threads, batches or LibTorch") {
  const Folder folder;
  ImageSourceOptions options{.images = red_images(folder, 11),
                             .transforms = random_transforms,
                             .normalization = thaw::imagenet_statistics,
                             .batch_size = 3,
                             .shuffle = true,
                             .seed = 5,
                             .workers = 0};
  const at::Tensor random = at::globalContext().defaultGenerator(at::kCPU).get_state();
  const auto expected = all(ImageSource(options), 2);
  for (const int workers : {1, 2, 5}) {
    options.workers = workers;
    options.ahead = workers;
    CHECK(same_batches(all(ImageSource(options), 2), expected));
  }
  CHECK(at::equal(at::globalContext().defaultGenerator(at::kCPU).get_state(), random));
  const auto images_of = [](const std::vector<thaw::Batch>& batches) {
    std::vector<at::Tensor> parts;
    for (const auto& batch : batches) parts.push_back(batch.input[0]);
    return at::cat(parts);
  };
  options.batch_size = 4;
  CHECK(at::equal(images_of(all(ImageSource(options), 2)), images_of(expected)));
  options.seed = 6;
  CHECK_FALSE(at::equal(std::get<0>(images_of(all(ImageSource(options), 2)).flatten().sort()),
                        std::get<0>(images_of(expected).flatten().sort())));
}

TEST_CASE("a pass goes on from any batch, and in_order is a pass in the list's order") {
  const Folder folder;
  const ImageSource source({.images = red_images(folder, 11),
                            .transforms = random_transforms,
                            .normalization = thaw::imagenet_statistics,
                            .batch_size = 3,
                            .shuffle = true,
                            .drop_last = true});
  const auto whole = all(source, 1);
  for (std::int64_t i = 0; i <= 3; ++i) {
    std::vector<thaw::Batch> rest(whole.begin(), whole.begin() + i);
    for (auto next = source.stream(1, i); auto batch = next();) rest.push_back(*batch);
    CHECK(same_batches(rest, whole));
  }
  std::int64_t samples = 0;
  std::vector<thaw::Batch> first, other;
  for (auto next = source.in_order(0); auto batch = next();) first.push_back(*batch), samples += batch->size();
  for (auto next = source.in_order(1); auto batch = next();) other.push_back(*batch);
  CHECK(samples == 11);
  CHECK(at::equal(first[3].target[0], at::tensor({0, 1})));
  CHECK_FALSE(same_batches(first, other));
  CHECK(at::equal(first[1].input[0][1], thaw::vision::to_tensor(source.sample(4, 0).image, thaw::imagenet_statistics)));
}

TEST_CASE("a shard reads its own images alone, and sees them as all would") {
  const Folder folder;
  const ImageSource source({.images = red_images(folder, 9),
                            .transforms = random_transforms,
                            .normalization = bytes_to_unit,
                            .batch_size = 4,
                            .shuffle = true});
  const auto whole = all(source, 2);
  REQUIRE(whole.size() == 3);
  const auto shard = [&](std::int64_t index) { return thaw::Shard{.index = index, .count = 3}; };
  for (std::int64_t index = 0; index < 3; ++index) {
    thaw::BatchStream next = source.stream(2, 0, shard(index));
    for (const thaw::Batch& batch : whole) {
      const std::optional<thaw::Batch> own = next();
      REQUIRE(own);
      const thaw::Batch expected = thaw::shard_of(batch, shard(index));
      CHECK(own->stand_in == expected.stand_in);
      CHECK(at::equal(own->input[0], expected.input[0]));
      CHECK(at::equal(own->target[0], expected.target[0]));
    }
    CHECK_FALSE(next());
  }
  for (const int other : {0, 2, 3, 5, 6, 8}) std::filesystem::remove(folder / (std::to_string(other) + ".png"));
  std::vector<at::Tensor> own;  // of numbers 1, 4 and 7
  for (thaw::BatchStream next = source.in_order(0, shard(1)); const std::optional<thaw::Batch> batch = next();)
    own.push_back(batch->target[0]);
  CHECK(at::equal(at::cat(own), at::tensor({1, 1, 1})));
  const thaw::InMemory features = source.with_input(at::tensor({10, 40, 70}).unsqueeze(1), shard(1));
  std::int64_t sum = 0;
  for (const thaw::Batch& batch : all(features, 2))
    if (!batch.stand_in) sum += batch.input[0].sum().item<std::int64_t>();
  CHECK(sum == 120);
}

TEST_CASE("each kind of target") {
  const Folder folder;
  ImageSourceOptions options{
      .images = red_images(folder, 4),
      .transforms = {[](cv::Size, thaw::vision::Random&) -> thaw::vision::Warp {
        return {.matrix = thaw::vision::translation(2, 1), .size = {12, 10}, .beyond = thaw::vision::Beyond::color};
      }},
      .normalization = bytes_to_unit};
  const auto target = [&](Predict predict) {
    options.predict = predict;
    return at::Tensor(all(ImageSource(options))[0].target);
  };
  options.images.items[1].labels = {};
  options.images.items[2].labels = {0, 2};
  CHECK(at::equal(target(Predict::labels),
                  at::tensor({1., 0., 0., 0., 0., 0., 1., 0., 1., 1., 0., 0.}, at::kFloat).view({4, 3})));
  CHECK(at::equal(target(Predict::values), at::tensor({0., .5, 1., .5, 2., .5, 3., .5}, at::kFloat).view({4, 2})));
  CHECK(
      at::equal(target(Predict::keypoints), at::tensor({2., 1., 3., 3., 4., 5., 5., 7.}, at::kFloat).view({4, 1, 2})));
  const at::Tensor mask = target(Predict::mask);
  CHECK(mask.sizes() == at::IntArrayRef({4, 10, 12}));
  CHECK(mask.scalar_type() == at::kLong);
  CHECK(at::equal(mask.select(1, 5).select(1, 5), at::tensor({0, 1, 2, 0})));
  CHECK(mask[2][0][5].item<std::int64_t>() == 255);  // beyond the image

  options.predict = Predict::boxes;
  options.images.items[0].boxes = {{1, 2, 4, 5, 2}, {3, 3, 20, 30, 0}};
  options.images.items[2].boxes = {{11, 0, 12, 4, 1}};  // moved out of the image, to the right
  options.images.items[3].boxes = {{0, 0, 1, 1, 1}};
  const thaw::Fields boxes = all(ImageSource(options))[0].target;
  CHECK(at::equal(boxes.at("labels"), at::tensor({2, 0, -1, -1, -1, -1, 1, -1}, at::kLong).view({4, 2})));
  CHECK(at::equal(boxes.at("boxes")[0], at::tensor({3., 3., 6., 6., 5., 4., 12., 10.}, at::kFloat).view({2, 4})));
  CHECK(boxes.at("boxes")[1].count_nonzero().item<int>() == 0);
  CHECK(at::equal(boxes.at("boxes")[3][0], at::tensor({2., 1., 3., 2.}, at::kFloat)));
  for (auto& item : options.images.items) item.boxes.clear();
  CHECK(all(ImageSource(options))[0].target.at("labels").sizes() == at::IntArrayRef({4, 0}));
  CHECK(ImageSource(options).classes() == options.images.classes);
}

TEST_CASE("one channel, and 16 bits") {
  const Folder folder;
  cv::Mat deep(6, 6, CV_16U, cv::Scalar(13107));
  thaw::vision::write_image(deep, folder / "a.png");
  const ImageSource source({.images = {.classes = {"a"}, .items = {{.path = folder / "a.png", .labels = {0}}}},
                            .normalization = {{0.1}, {0.5}},
                            .channels = thaw::vision::Channels::gray});
  const at::Tensor image = all(source)[0].input;
  CHECK(image.sizes() == at::IntArrayRef({1, 1, 6, 6}));
  CHECK(std::abs(image[0][0][0][0].item<double>() - 0.2) < 1e-6);
}

TEST_CASE("what is missing is said before anything is read") {
  const Folder folder;
  const ImageList list = red_images(folder, 3);
  const auto refused = [&](auto change, const std::string& what) {
    ImageSourceOptions options{.images = list, .normalization = bytes_to_unit};
    change(options);
    CHECK_THROWS_MATCHES(ImageSource(options), thaw::Error, MessageMatches(ContainsSubstring(what)));
  };
  refused([](auto& o) { o.images.items.clear(); }, "there are no samples");
  refused([](auto& o) { o.normalization = {}; }, "it is not said what the network expects");
  refused([](auto& o) { o.channels = thaw::vision::Channels::gray; }, "3 means and 3 deviations for 1 channels");
  refused([](auto& o) { o.ahead = 0; }, "0 ahead");
  refused([](auto& o) { o.workers = -2; }, "-2 workers");
  refused([](auto& o) { o.images.items[1].labels = {}; }, "1.png: 0 labels where one is to be predicted");
  refused([](auto& o) { o.images.items[2].labels = {3}; }, "2.png: has a label that is not in classes");
  refused([](auto& o) { o.predict = Predict::mask, o.images.items[0].mask = ""; }, "0.png: has no mask");
  refused([](auto& o) { o.predict = Predict::keypoints, o.images.items[1].keypoints.clear(); }, "1.png: 0 keypoints");
  refused([](auto& o) { o.images.items[1].boxes = {{1, 1, 4, 4, 3}}; }, "1.png: has a box with a label that is not in");
  refused([](auto& o) { o.images.items[1].boxes = {{8, 1, 4, 4, 1}}; }, "1.png: has a box without area");
  refused([](auto& o) { o.predict = Predict::values, o.images.items[1].values = {1}; }, "1.png: 1 values");
  refused([](auto& o) { o.predict = Predict::labels, o.images.classes = {}; }, "not in classes");
  const auto masks = [](auto& o) { o.predict = Predict::mask, o.images.items[2].labels = {}; };
  refused(
      [&](auto& o) {
        masks(o), o.images.classes = {}, o.images.items.erase(o.images.items.begin(), o.images.items.begin() + 2);
      },
      "2.png: there are no classes");
  refused([&](auto& o) { masks(o), o.mask_values = {0, 255}; }, "2 mask_values and 3 classes");
}

TEST_CASE("an image that cannot be read, or does not fit its batch, ends the pass with its name") {
  const Folder folder;
  ImageList list = red_images(folder, 6);
  thaw::test::write_text(folder / "3.png", "no picture");
  for (const int workers : {0, 2}) {
    const ImageSource source({.images = list, .normalization = bytes_to_unit, .batch_size = 2, .workers = workers});
    auto next = source.stream(0);
    CHECK(next().has_value());
    CHECK_THROWS_MATCHES(next(), thaw::FileError, MessageMatches(ContainsSubstring("3.png")));
  }
  std::vector<std::string> unreadable;
  const ImageList kept = thaw::vision::drop_unreadable(list, &unreadable);
  CHECK(kept.size() == 5);
  CHECK(kept.classes == list.classes);
  REQUIRE(unreadable.size() == 1);
  CHECK(unreadable[0].ends_with("3.png: is no image that OpenCV can read"));
  CHECK(all(ImageSource({.images = kept, .normalization = bytes_to_unit, .batch_size = 2})).size() == 3);

  thaw::vision::write_image(thaw::test::plain(20, 30, {1, 2, 3}), folder / "3.png");
  CHECK_THROWS_MATCHES(all(ImageSource({.images = list, .normalization = bytes_to_unit})), thaw::DataError,
                       MessageMatches(ContainsSubstring("3.png: is 30 x 20 pixels") && ContainsSubstring("24 x 20")));
  CHECK_THROWS_MATCHES(all(ImageSource({.images = list, .normalization = bytes_to_unit, .predict = Predict::mask})),
                       thaw::DataError,
                       MessageMatches(ContainsSubstring("mask3.png: 24 x 20 pixels, and its image is 30 x 20 pixels")));
}

TEST_CASE("a Learner trains on images from disk, and may cache what a frozen body makes of them") {
  const Folder folder;
  ImageSourceOptions options{.images = red_images(folder, 24),
                             .transforms = {Resize{8}},
                             .normalization = bytes_to_unit,
                             .batch_size = 8,
                             .shuffle = true};
  const auto head_of = [&](thaw::Cache cache) {
    at::manual_seed(1);
    torch::nn::Sequential net(torch::nn::Conv2d(3, 4, 3), torch::nn::AdaptiveAvgPool2d(1), torch::nn::Flatten(),
                              torch::nn::Linear(4, 3));
    thaw::Learner learner(net, thaw::LayerGroups::cut_before(net, {"3"}), thaw::cross_entropy,
                          {.train = ImageSource(options)});
    learner.fit({.epochs = 2, .freeze = thaw::FreezeTo{-1}, .lr = 1e-2, .cache = cache});
    return net->parameters()[2].detach().clone();
  };
  const at::Tensor plain = head_of({}), cached = head_of(thaw::Cache::memory);
  CHECK((plain - cached).abs().max().item<double>() < 1e-6);
  options.predict = Predict::mask;
  CHECK_THROWS_MATCHES(ImageSource(options).with_input(at::zeros({24, 4})), thaw::DataError,
                       MessageMatches(ContainsSubstring("move with the images")));
}

TEST_CASE("masks of 0 and 255 are classes 0 and 1 as mask_values says, and never trained on without it") {
  const Folder folder;
  ImageSourceOptions options{.images = red_images(folder, 3), .normalization = bytes_to_unit, .predict = Predict::mask};
  options.images.classes = {"back", "cell"};
  for (ImageItem& item : options.images.items) item.labels = {};
  cv::Mat mask = thaw::test::plain(20, 24, {0}, CV_8U);
  mask.colRange(0, 5) = 255;
  for (const char* name : {"mask0.png", "mask1.png", "mask2.png"}) thaw::vision::write_image(mask, folder / name);
  CHECK_THROWS_MATCHES(ImageSource(options), thaw::DataError,
                       MessageMatches(ContainsSubstring("mask0.png: a mask with the values 0, 255, and there are 2") &&
                                      ContainsSubstring("mask_values = {0, 255}")));
  options.mask_values = {0, 255};
  const at::Tensor target = all(ImageSource(options))[0].target;
  CHECK(target.sum().item<std::int64_t>() == 3 * 20 * 5);
  CHECK(at::equal(target.select(1, 0).select(1, 4), at::tensor({1, 1, 1})));

  mask.col(7) = 9;  // in a later file: the pass ends there
  thaw::vision::write_image(mask, folder / "mask2.png");
  CHECK_THROWS_MATCHES(all(ImageSource(options)), thaw::DataError,
                       MessageMatches(ContainsSubstring("mask2.png: a mask with the values 0, 9, 255")));
  options.mask_ignore = 9;
  CHECK(at::Tensor(all(ImageSource(options))[0].target)[2][0][7].item<std::int64_t>() == 255);
  options.mask_ignore = {};
  options.mask_nearest = true;
  CHECK(at::Tensor(all(ImageSource(options))[0].target)[2][0][7].item<std::int64_t>() == 0);
}

TEST_CASE("a subset of images has these and no others") {
  const Folder folder;
  const thaw::DataSource source = ImageSource(
      {.images = red_images(folder, 6), .transforms = {Resize{16}}, .normalization = bytes_to_unit, .workers = 0});
  const thaw::DataSource some = source.indexed()->subset(at::tensor({4, 1}, at::kLong));
  const auto batches = all(some);
  REQUIRE(batches.size() == 1);
  CHECK(batches[0].target[0].equal(at::tensor({1, 1}, at::kLong)));
  CHECK(batches[0].input[0].select(1, 0).mean({1, 2}).mul(255).round().equal(at::tensor({40.F, 10.F})));
}

TEST_CASE("an image that its EXIF turns, and its mask or keypoints not, is an error, until it is said what is right") {
  const Folder folder;
  ImageSourceOptions options{.images = {.classes = {"back", "cell"}}, .normalization = bytes_to_unit};
  cv::Mat picture = thaw::test::plain(16, 16, {0, 0, 0});
  picture.rowRange(0, 8).colRange(0, 8).setTo(cv::Scalar::all(255));
  cv::Mat mask(16, 16, CV_8U, cv::Scalar(0));
  mask.rowRange(0, 8).colRange(0, 8).setTo(1);
  thaw::test::write_as_it_is(mask, folder / "m.png");
  std::vector<std::uint8_t> jpeg;
  cv::imencode(".jpg", picture, jpeg);
  options.images.items = {{.path = folder / "a.jpg", .mask = folder / "m.png", .keypoints = {{4, 4}}}};
  const auto overlap = [&] {  // of light pixels and the mask
    const thaw::Batch batch = all(ImageSource(options))[0];
    return at::Tensor(batch.input).select(1, 0).gt(0.5).logical_and(at::Tensor(batch.target).eq(1)).sum().item<int>();
  };
  for (int orientation = 1; orientation <= 8; ++orientation) {
    CAPTURE(orientation);
    thaw::test::write_text(folder / "a.jpg", thaw::test::with_orientation({jpeg.begin(), jpeg.end()}, orientation));
    for (const Predict predict : {Predict::mask, Predict::keypoints, Predict::boxes}) {
      options.predict = predict;
      options.orientation = {};
      if (orientation == 1)
        CHECK_NOTHROW(all(ImageSource(options)));
      else
        CHECK_THROWS_MATCHES(all(ImageSource(options)), thaw::DataError,
                             MessageMatches(ContainsSubstring("a.jpg: its EXIF turns it (orientation " +
                                                              std::to_string(orientation) + "), and not its " +
                                                              (predict == Predict::mask        ? "mask"
                                                               : predict == Predict::keypoints ? "keypoints"
                                                                                               : "boxes")) &&
                                            ContainsSubstring("Orientation::stored")));
    }
    options.predict = Predict::mask;
    options.orientation = thaw::vision::Orientation::stored;
    CHECK(overlap() == 64);
    options.orientation = thaw::vision::Orientation::upright;
    CHECK(overlap() == (orientation == 1 || orientation == 5 ? 64 : 0));
    const std::string exif = thaw::test::png_chunk("eXIf", thaw::test::exif_of(orientation));
    std::vector<std::string> rows(16, std::string(16, '\0'));
    for (std::size_t y = 0; y < 8; ++y) rows[y] = std::string(8, '\1') + std::string(8, '\0');
    thaw::test::write_text(folder / "turned.png", thaw::test::png(16, 8, 0, rows, "", exif));
    options.images.items[0].mask = folder / "turned.png";  // turned as its image is
    options.orientation = {};
    CHECK(overlap() == 64);
    options.images.items[0].mask = folder / "m.png";
  }
}

TEST_CASE("training and validation with other lists of classes are an error that names both") {
  const Folder folder;
  ImageSourceOptions options{
      .images = red_images(folder, 6), .transforms = {Resize{8}}, .normalization = bytes_to_unit};
  CHECK(thaw::DataSource(ImageSource(options)).classes() == std::vector<std::string>{"a", "b", "c"});
  ImageSourceOptions other = options;
  other.images.classes = {"a", "c"};
  for (ImageItem& item : other.images.items) item.labels = {item.labels[0] / 2};
  torch::nn::Sequential net(torch::nn::Conv2d(3, 4, 3), torch::nn::AdaptiveAvgPool2d(1), torch::nn::Flatten(),
                            torch::nn::Linear(4, 3));
  thaw::Learner learner(net, thaw::LayerGroups::cut_before(net, {"3"}), thaw::cross_entropy,
                        {.train = ImageSource(options), .valid = ImageSource(other)});
  CHECK_THROWS_MATCHES(
      learner.fit({.epochs = 1}), thaw::DataError,
      MessageMatches(ContainsSubstring("its classes are a, c, and those of the training data a, b, c") &&
                     ContainsSubstring("train.classes")));
  CHECK_THROWS_MATCHES(learner.validate(ImageSource(other)), thaw::DataError,
                       MessageMatches(ContainsSubstring("its classes are a, c")));
  CHECK_THROWS_MATCHES(thaw::ConfusionMatrix(learner, ImageSource(options), {.classes = {"b", "a", "c"}}),
                       thaw::ConfigError,
                       MessageMatches(ContainsSubstring("another order than the source's: a, b, c")));
  CHECK_THROWS_MATCHES(thaw::class_results(learner, ImageSource(options), {.classes = {"b", "a", "c"}}),
                       thaw::ConfigError, MessageMatches(ContainsSubstring("another order")));
  CHECK(thaw::ConfusionMatrix(learner, ImageSource(options), {.classes = {"ant", "bee", "cow"}}).samples() == 6);
  options.predict = Predict::values;
  CHECK(ImageSource(options).classes().empty());
}

TEST_CASE("what cannot be read is dropped, with the name of its format") {
  const Folder folder;
  ImageList list = red_images(folder, 2);
  thaw::test::write_text(folder / "0.png", std::string("GIF89a\1\0\1\0\0\0\0;", 14));
  std::vector<std::string> unreadable;
  CHECK(thaw::vision::drop_unreadable(list, &unreadable).size() == 1);
  REQUIRE(unreadable.size() == 1);
  CHECK_THAT(unreadable[0], ContainsSubstring("0.png: is a GIF"));
  thaw::test::write_text(folder / "1.png", thaw::test::tiff({.samples = 4, .extra = {0, 0, 0}, .pixels = "abcd"}));
  CHECK(thaw::vision::drop_unreadable(list).size() == 0);
  CHECK(thaw::vision::drop_unreadable(list, nullptr, thaw::vision::Channels::rgba).size() == 1);
}

TEST_CASE("a JPEG that becomes much smaller is decoded smaller, and looks nearly the same") {
  const Folder folder;
  cv::Mat coarse = thaw::test::picture(12, 16), photo, grain(375, 500, CV_8UC3);
  cv::resize(coarse, photo, {500, 375}, 0, 0, cv::INTER_CUBIC);
  cv::RNG(1).fill(grain, cv::RNG::NORMAL, 12, 6);
  thaw::vision::write_image(photo + grain, folder / "photo.jpg");
  const auto seen = [&](int size, bool scaled, thaw::vision::Channels channels = thaw::vision::Channels::rgb) {
    const bool gray = channels == thaw::vision::Channels::gray;
    return ImageSource({.images = {.classes = {"a"}, .items = {{.path = folder / "photo.jpg", .labels = {0}}}},
                        .transforms = {Resize{size}},
                        .normalization = gray ? thaw::vision::Normalization{{0}, {1}} : bytes_to_unit,
                        .channels = channels,
                        .scaled_decoding = scaled})
        .sample(0)
        .image;
  };
  for (const int size : {128, 96, 64, 48, 32}) {
    const cv::Mat scaled = seen(size, true), whole = seen(size, false);
    INFO(size << " px");
    REQUIRE(scaled.size() == whole.size());
    REQUIRE(scaled.type() == whole.type());
    const double difference = cv::norm(scaled, whole, cv::NORM_L1) / static_cast<double>(scaled.total() * 3);
    CHECK(difference > 0);
    CHECK(difference < 1.5);  // of 255
  }
  CHECK(same(seen(200, true), seen(200, false)));
  CHECK(seen(64, true, thaw::vision::Channels::gray).type() == CV_8UC1);
  const cv::Mat gray = seen(64, true, thaw::vision::Channels::gray);
  CHECK(cv::norm(gray, seen(64, false, thaw::vision::Channels::gray), cv::NORM_L1) / 64 / 64 < 1.5);

  SECTION("turned upright all the same") {
    thaw::test::write_text(folder / "photo.jpg",
                           thaw::test::with_orientation(thaw::test::text_of(folder / "photo.jpg"), 6));
    const cv::Mat scaled = seen(64, true), whole = seen(64, false);
    CHECK(cv::norm(scaled, whole, cv::NORM_L1) / 64 / 64 / 3 < 1.5);
    CHECK(cv::norm(scaled, whole.t(), cv::NORM_L1) / 64 / 64 / 3 > 5);
  }
  SECTION("and refused where it ends too early, or lacks pixels") {
    const std::string bytes = thaw::test::text_of(folder / "photo.jpg");
    thaw::test::write_text(folder / "photo.jpg", bytes.substr(0, bytes.size() / 2));
    CHECK_THROWS_AS(seen(64, true), thaw::FileError);
    thaw::test::write_text(folder / "photo.jpg", bytes.substr(0, bytes.size() / 2) + "\xFF\xD9");
    CHECK_THROWS_AS(seen(64, true), thaw::FileError);
  }
}
