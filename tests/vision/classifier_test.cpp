// SPDX-License-Identifier: BSD-3-Clause
#include <ATen/Context.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <torch/nn/modules/batchnorm.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <filesystem>
#include <string>
#include <thaw/groups/layer_groups.hpp>
#include <thaw/models/efficientnet.hpp>
#include <thaw/models/resnet.hpp>
#include <thaw/train/learner.hpp>
#include <thaw/train/loss.hpp>
#include <thaw/vision/classifier.hpp>
#include <thaw/vision/write_image.hpp>
#include <thaw/weights/export_script.hpp>
#include <vector>

#include "support/folder.hpp"
#include "support/pictures.hpp"

using Catch::Matchers::ContainsSubstring;
using thaw::test::Folder;
using thaw::vision::Classifier;
using thaw::vision::Resize;

namespace {

/// A JPEG of 300 x 200, which is decoded smaller where it is shown at 64 px.
std::filesystem::path jpeg(const Folder& folder, int shift) {
  cv::Mat image(200, 300, CV_8UC3);
  for (int y = 0; y < image.rows; ++y)
    for (int x = 0; x < image.cols; ++x)
      image.at<cv::Vec3b>(y, x) = {static_cast<std::uint8_t>(x + shift), static_cast<std::uint8_t>(x * y / 40 + shift),
                                   static_cast<std::uint8_t>(y)};
  const std::filesystem::path path = folder / (std::to_string(shift) + ".jpg");
  thaw::vision::write_image(image, path);
  return path;
}

thaw::vision::ImageSource source(const std::vector<std::filesystem::path>& files, thaw::vision::Transforms transforms) {
  thaw::vision::ImageList images{.classes = {"cat", "dog", "eel"}};
  for (const auto& file : files)
    images.items.push_back({.path = file, .labels = {static_cast<std::int64_t>(images.items.size()) % 3}});
  return thaw::vision::ImageSource({.images = images,
                                    .transforms = std::move(transforms),
                                    .normalization = thaw::imagenet_statistics,
                                    .batch_size = 3});
}

template <class Exception = thaw::FileError, class Act>
std::string said(const Act& act) {
  try {
    act();
  } catch (const Exception& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("The class of a file in two lines: what the Learner predicts of it, bit for bit") {
  const Folder folder;
  const std::vector<std::filesystem::path> files{jpeg(folder, 0), jpeg(folder, 40), jpeg(folder, 90)};
  at::manual_seed(2);
  auto model = thaw::models::resnet18();
  SECTION("linear_head") {
    replace_head(model, thaw::models::linear_head(model->head_features(), 3));
  }
  SECTION("create_head") {
    replace_head(model, 3);
  }
  for (const thaw::vision::Fit fit : {thaw::vision::Fit::crop, thaw::vision::Fit::squish, thaw::vision::Fit::pad}) {
    const auto valid = source(files, {Resize{.size = 64, .fit = fit}});
    thaw::Learner learner(model, thaw::LayerGroups::cut_before(model, thaw::models::resnet_cuts()), thaw::cross_entropy,
                          {.train = valid, .valid = valid});
    learner.fit({.epochs = 1, .lr = 1e-3, .norm = thaw::hold_everywhere});
    thaw::export_model(model, folder / "net.safetensors", thaw::vision::export_info("resnet18", valid));
    thaw::export_script(model, folder / "net.ts", thaw::vision::export_info("my own", valid));
    for (const std::string name : {"net.safetensors", "net.ts"}) {
      CAPTURE(name, static_cast<int>(fit));
      const auto classifier = Classifier::load(folder / name);
      CHECK(classifier.info().classes == std::vector<std::string>{"cat", "dog", "eel"});
      for (std::int64_t i = 0; i < 3; ++i) {
        const auto& file = files[static_cast<std::size_t>(i)];
        const at::Tensor x = valid.subset(at::full({1}, i, at::kLong)).in_order()().value().input;
        const at::Tensor expected = learner.predict(x).softmax(1)[0];
        CHECK(classifier.prepare(file).equal(x[0]));
        CHECK(classifier.probabilities(x)[0].equal(expected));
        const auto seen = classifier.classify(file);
        CHECK(seen.name == classifier.info().classes[static_cast<std::size_t>(expected.argmax().item<std::int64_t>())]);
        CHECK(seen.probability == expected.max().to(at::kDouble).item<double>());
        REQUIRE(seen.ranked.size() == 3);
        CHECK(seen.ranked[1].probability >= seen.ranked[2].probability);
      }
    }
  }
}

TEST_CASE("An image in memory, as OpenCV's or as bytes of a tensor, is prepared as its file is") {
  const Folder folder;
  const auto png = folder / "a.png";
  thaw::vision::write_image(thaw::test::picture(50, 40), png);
  const auto valid = source({png}, {Resize{32}});
  const Classifier classifier(thaw::vision::export_info("own", valid), thaw::models::resnet18({.classes = 3}));
  const cv::Mat image = thaw::vision::read_image(png);
  const at::Tensor bytes =
      at::from_blob(image.data, {50, 40, 3}, at::kByte).permute({2, 0, 1});  // as torchvision has it
  CHECK(classifier.prepare(image).equal(classifier.prepare(png)));
  CHECK(classifier.prepare(bytes).equal(classifier.prepare(png)));
  CHECK(classifier.classify(bytes).name == classifier.classify(png).name);
  CHECK_THAT(said<thaw::DataError>([&] { (void)classifier.classify(bytes.to(at::kFloat)); }),
             ContainsSubstring("[3, 50, 40] of Float") && ContainsSubstring("give bytes [3, H, W]"));
  CHECK_THAT(said([&] { (void)classifier.classify(folder / "none.png"); }), ContainsSubstring("does not exist"));
}

TEST_CASE("A file of a network that is not known, or is another than it says, is refused") {
  const Folder folder;
  const auto png = folder / "a.png";
  thaw::vision::write_image(thaw::test::picture(50, 40), png);
  thaw::ExportInfo info = thaw::vision::export_info("resnet43", source({png}, {Resize{32}}));
  const auto load = [&](const auto& model) {
    thaw::export_model(model, folder / "net.safetensors", info);
    return said([&] { (void)Classifier::load(folder / "net.safetensors"); });
  };
  at::manual_seed(1);
  CHECK_THAT(load(thaw::models::resnet18({.classes = 3})),
             ContainsSubstring("net.safetensors: there is no network for images named \"resnet43\"") &&
                 ContainsSubstring("did you mean"));
  info.model = "resnet34";
  CHECK_THAT(load(thaw::models::resnet18({.classes = 3})), ContainsSubstring("net.safetensors"));
  info.model = "resnet18";
  CHECK(load(thaw::models::resnet18({.classes = 3})).empty());
  CHECK_THAT(load(thaw::models::resnet18({.classes = 4})), ContainsSubstring("fc.weight"));

  SECTION("weights that fit, in a network with another epsilon") {
    info.model = "efficientnet_b0";
    auto model = thaw::models::efficientnet_b0({.classes = 3, .bn_eps = 0.1});
    CHECK_THAT(load(model), ContainsSubstring("gives other outputs with them than when it was exported"));
    info.options["bn_eps"] = "0.1";
    CHECK(load(model).empty());
  }
  SECTION("preprocessing that is not known") {
    info.options["fit"] = "shear";
    CHECK_THAT(load(thaw::models::resnet18({.classes = 3})), ContainsSubstring("option \"fit\" is \"shear\""));
    info.options = {{"predict", "mask"}};
    CHECK_THAT(load(thaw::models::resnet18({.classes = 3})), ContainsSubstring("export it with label or labels"));
    info.options = {{"bn_eps", "0,1"}};
    CHECK_THAT(load(thaw::models::resnet18({.classes = 3})), ContainsSubstring("option \"bn_eps\" is \"0,1\""));
    info.options = {{"note", "of my own"}};
    CHECK(load(thaw::models::resnet18({.classes = 3})).empty());
  }
}

TEST_CASE("Several classes may be true: probabilities by sigmoid") {
  const Folder folder;
  const auto png = folder / "a.png";
  thaw::vision::write_image(thaw::test::picture(50, 40), png);
  auto options = source({png}, {Resize{32}}).options();
  options.predict = thaw::vision::Predict::labels;
  auto model = thaw::models::resnet18({.classes = 3});
  const Classifier classifier(thaw::vision::export_info("own", thaw::vision::ImageSource(options)), model);
  const at::Tensor x = at::randn({2, 3, 32, 32});
  const c10::NoGradGuard no_grad;
  CHECK(classifier.probabilities(x).equal(model->forward(x).sigmoid()));
}
