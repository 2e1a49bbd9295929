// SPDX-License-Identifier: BSD-3-Clause
// Models, their weights and reports on them, on the device.
#include <thaw/models/heads.hpp>

#include <ATen/ops/arange.h>
#include <ATen/ops/ones_like.h>
#include <catch2/catch_test_macros.hpp>
#include <thaw/models/adapt_first_convolution.hpp>
#include <thaw/models/bert.hpp>
#include <thaw/models/convnext.hpp>
#include <thaw/models/efficientnet.hpp>
#include <thaw/models/mobilenet_v3.hpp>
#include <thaw/models/resnet.hpp>
#include <thaw/models/unet.hpp>
#include <thaw/models/vit.hpp>
#include <thaw/report/class_report.hpp>
#include <thaw/report/class_results.hpp>
#include <thaw/report/confusion_matrix.hpp>
#include <thaw/report/top_losses.hpp>
#include <thaw/weights/load.hpp>
#include <thaw/weights/save.hpp>

#include "device/bench.hpp"
#include "support/folder.hpp"

namespace models = thaw::models;
using thaw::test::Bench;
using thaw::test::near;
using thaw::test::pictures;
using thaw::test::same_weights;
using thaw::test::small_network;
using thaw::test::test_device;

namespace {

double largest(const at::Tensor& tensor) {
  return tensor.abs().max().item<double>();
}

/// Output and gradients.
template <class Make, class... Inputs>
void check_model(const char* name, Make make, const Inputs&... inputs) {
  CAPTURE(name);
  auto model = (at::manual_seed(1), make());
  model->to(at::kDouble);
  model->eval();
  const auto run = [&](const at::Device& device) {
    model->to(device);
    model->zero_grad();
    const at::Tensor output = model->forward(inputs.to(device)...);
    output.pow(2).mean().backward();
    std::vector<at::Tensor> all{output};
    for (const at::Tensor& parameter : model->parameters())
      if (parameter.grad().defined()) all.push_back(parameter.grad().clone());
    return all;
  };
  const auto expected = run(at::kCPU), found = run(test_device());
  REQUIRE(found.size() == expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    CAPTURE(i);
    CHECK(largest(found[i].cpu() - expected[i]) <= 1e3 * thaw::test::tolerance() * (1 + largest(expected[i])));
  }
}

at::Tensor images(std::int64_t size) {
  return at::randn({2, 3, size, size}, at::make_generator<at::CPUGeneratorImpl>(6), at::kDouble);
}

}  // namespace

TEST_CASE("models compute on the device what they compute on the CPU") {
  check_model("resnet18", [] { return models::resnet18({.classes = 5}); }, images(40));
  check_model("mobilenet_v3", [] { return models::mobilenet_v3_large({.classes = 5}); }, images(40));
  check_model("efficientnet_b0", [] { return models::efficientnet_b0({.classes = 5}); }, images(40));
  const auto vit = [] {
    return models::VisionTransformer(models::VitOptions{
        .classes = 5, .image_size = 32, .patch_size = 8, .width = 24, .depth = 2, .heads = 2, .mlp_width = 32});
  };
  check_model("vit", vit, images(32));
  check_model("vit at another size", vit, images(48));
  const at::Tensor tokens = at::arange(14).view({2, 7});
  check_model(
      "bert",
      [] {
        return models::BertForSequenceClassification(
            models::BertOptions{.vocabulary = 20, .width = 24, .depth = 2, .heads = 2, .mlp_width = 32});
      },
      tokens, at::ones_like(tokens));
}

TEST_CASE("weights of a file go into a model on the device, and out of it") {
  const thaw::test::Folder folder;
  const auto source = small_network();
  for (const char* file : {"a.safetensors", "a.pth"}) {
    CAPTURE(file);
    const auto model = Bench(test_device()).net, back = small_network();
    {
      const c10::NoGradGuard no_grad;
      for (const at::Tensor& parameter : model->parameters()) parameter.zero_();
    }
    thaw::save_weights(source, folder / file);
    thaw::load_weights(model, folder / file);
    CHECK(model->parameters()[0].device() == test_device());
    CHECK(same_weights(*model, *source));
    {
      const c10::NoGradGuard no_grad;
      for (const at::Tensor& parameter : model->parameters()) parameter.mul_(2);
    }
    thaw::save_weights(model, folder / file);
    thaw::load_weights(back, folder / file);
    CHECK(same_weights(*back, *model));
  }
}

TEST_CASE("a model on the device gets another head and other channels there") {
  auto model = models::resnet18({.classes = 5});
  model->to(test_device());
  models::replace_head(model, 3);
  models::adapt_first_convolution(model, 1);
  for (const at::Tensor& parameter : model->parameters()) CHECK(parameter.device() == test_device());
  for (const at::Tensor& buffer : model->buffers()) CHECK(buffer.device() == test_device());
  CHECK(model->forward(at::randn({2, 1, 40, 40}, test_device())).size(1) == 3);
}

TEST_CASE("a U-Net is made around a body on the device") {
  auto body = models::resnet18();
  body->to(test_device());
  auto unet = models::unet(body, {.classes = 2});
  for (const at::Tensor& parameter : unet->parameters()) CHECK(parameter.device() == test_device());
  CHECK(unet->forward(at::randn({1, 3, 64, 64}, test_device())).size(1) == 2);
}

TEST_CASE("reports take what a model on the device gives") {
  Bench here(at::kCPU), there(test_device());
  const thaw::InMemory source = pictures({.samples = 20, .seed = 3, .shuffle = false});
  const auto expected = thaw::class_results(here.learner, source, {}),
             found = thaw::class_results(there.learner, source, {});
  CHECK(found.matrix.counts().equal(expected.matrix.counts()));
  const auto worst = thaw::top_losses(here.learner, source), there_worst = thaw::top_losses(there.learner, source);
  REQUIRE(there_worst.size() == worst.size());
  for (std::size_t i = 0; i < worst.size(); ++i) {
    CHECK(there_worst[i].sample == worst[i].sample);
    CHECK(near(there_worst[i].loss, worst[i].loss));
  }
  thaw::ConfusionMatrix matrix;
  const thaw::Batch batch = *source.stream(0)();
  matrix.add(there.learner.predict(batch.input[0]), batch.target[0].to(test_device()));
  CHECK(matrix.samples() == 8);
  const at::Tensor output = at::randn({6, 3}), target = at::randn({6, 3}).gt(0).to(at::kFloat);
  const auto labels = thaw::ClassReport::of_labels(output.to(test_device()), target.to(test_device()));
  CHECK(thaw::to_text(labels) == thaw::to_text(thaw::ClassReport::of_labels(output, target)));
}
