// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/vision/grad_cam.hpp>

#include <ATen/ops/allclose.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <c10/core/InferenceMode.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <thaw/vision/strongest_patches.hpp>

#include "support/metrics.hpp"
#include "vision/looks.hpp"

using Catch::Matchers::ContainsSubstring;
using thaw::test::LooksNet;
using thaw::test::tensor_of;
using thaw::vision::grad_cam;
using thaw::vision::GradCam;

TEST_CASE("Grad-CAM, by hand: pooled and linear, the weights are the classifier's") {
  namespace nn = torch::nn;
  nn::Sequential net(nn::Identity(), nn::AdaptiveAvgPool2d(1), nn::Flatten(), nn::Linear(nn::LinearOptions(2, 3)));
  const c10::NoGradGuard no_grad;
  net->named_parameters()["3.weight"].copy_(tensor_of({{4, -8}, {4, 4}, {0, 8}}));
  net->named_parameters()["3.bias"].copy_(tensor_of({0, 0, -20}));
  const at::Tensor images = tensor_of({{{{1, 0}, {0, 3}}, {{0, 1}, {2, 1}}}}).to(at::kFloat);
  // Means are (1, 1), so logits are (-4, 8, -12). The gradient of the logit of class 1 is 4 / 4 at each of the four
  // pixels of both maps, so that its map is their sum; that of class 0 is their sum, weighted by (1, -2), and negative
  // where the second map is strong.
  const GradCam predicted = grad_cam(net, images, {.part = "0"});
  CHECK(predicted.classes.equal(at::tensor({1}, at::kLong)));
  CHECK(predicted.maps.equal(tensor_of({{{1, 1}, {2, 4}}}).to(at::kFloat)));
  CHECK(predicted.part == "0");
  CHECK(grad_cam(net, images, {.part = "0", .class_index = 0})
            .maps.equal(at::tensor({1.F, 0.F, 0.F, 1.F}).reshape({1, 2, 2})));
  const double e = std::exp(-12.0) + std::exp(-20.0);
  CHECK(std::abs(predicted.probabilities.item<double>() - 1 / (1 + e)) < 1e-6);
}

TEST_CASE("Grad-CAM is what PyTorch's hooks give, image by image") {
  const auto fixture = thaw::test::json_fixture("vision/looks.json");
  LooksNet net;
  for (const auto& expected : fixture["cam"]) {
    thaw::vision::GradCamOptions options{.part = expected["part"].get<std::string>()};
    if (!expected["wanted"].is_null()) options.class_index = expected["wanted"].get<std::int64_t>();
    CAPTURE(options.part);
    const GradCam cam = grad_cam(net.model, net.images, options);
    CHECK(cam.maps.sizes().vec() == expected["shape"].get<std::vector<std::int64_t>>());
    const at::Tensor maps = tensor_of(expected["maps"]).to(at::kDouble).reshape(cam.maps.sizes());
    CHECK(maps.gt(0).any().item<bool>());
    CHECK(at::allclose(cam.maps, maps, 1e-6, 1e-9));
    CHECK(cam.classes.equal(tensor_of(expected["classes"])));
    CHECK(at::allclose(cam.probabilities, tensor_of(expected["probabilities"]), 1e-6, 1e-9));
    const GradCam alone = grad_cam(net.model, net.images.slice(0, 2, 3), options);
    CHECK(at::allclose(alone.maps[0], cam.maps[2], 1e-9, 1e-12));
  }
}

TEST_CASE("without a name, the last part that gives maps of more than one pixel") {
  LooksNet net;
  CHECK(grad_cam(net.model, net.images).part == "6");
  CHECK(grad_cam(net.model, net.images).maps.sizes().vec() == std::vector<std::int64_t>{6, 2, 2});
}

TEST_CASE("of a single logit, what speaks for class 0 is what speaks against class 1") {
  namespace nn = torch::nn;
  nn::Sequential net(nn::Identity(), nn::AdaptiveAvgPool2d(1), nn::Flatten(),
                     nn::Linear(nn::LinearOptions(1, 1).bias(false)));
  const c10::NoGradGuard no_grad;
  net->named_parameters()["3.weight"].fill_(4);
  const at::Tensor images = at::tensor({-3.F, 1.F, 1.F, 0.F}).reshape({1, 1, 2, 2});
  const GradCam cam = grad_cam(net, images, {.part = "0"});
  CHECK(cam.classes.item<std::int64_t>() == 0);
  CHECK(cam.maps.equal(at::tensor({3.F, 0.F, 0.F, 0.F}).reshape({1, 2, 2})));
  CHECK(std::abs(cam.probabilities.item<double>() - 1 / (1 + std::exp(-1.0))) < 1e-6);
  CHECK(grad_cam(net, images, {.part = "0", .class_index = 1})
            .maps.equal(at::tensor({0.F, 1.F, 1.F, 0.F}).reshape({1, 2, 2})));
}

TEST_CASE("tokens become maps by the caller's rule") {
  namespace nn = torch::nn;
  // maps to tokens [N, h w, C] and back
  const auto to_maps = [](const at::Tensor& tokens) { return tokens.transpose(1, 2).unflatten(2, {7, 6}); };
  LooksNet net;
  thaw::test::TokensNet tokens(net.model);
  const GradCam cam = grad_cam(tokens, net.images, {.part = "tokens", .to_maps = to_maps});
  CHECK(at::allclose(cam.maps, grad_cam(net.model, net.images, {.part = "3"}).maps, 1e-9, 1e-12));
  CHECK_THROWS_WITH(grad_cam(tokens, net.images, {.part = "tokens"}),
                    ContainsSubstring("part \"tokens\" gives a tensor of 3 dimensions"));
}

TEST_CASE("looking leaves modes, gradients, requires_grad, buffers and random generators as they are") {
  LooksNet net;
  net.model->train();
  net.model[1]->eval();  // held
  auto parameters = net.model->named_parameters();
  parameters["0.weight"].set_requires_grad(false);
  parameters["8.weight"].mutable_grad() = at::full_like(parameters["8.weight"], 2);
  const auto before = thaw::test::state_of(*net.model);
  const at::Tensor images = net.images.clone();
  const thaw::RandomState random;

  const auto look = [&] {
    (void)grad_cam(net.model, net.images);
    (void)thaw::vision::strongest_patches(net.model, net.source(), {.part = "4"});
    CHECK_THROWS(grad_cam(net.model, net.images, {.class_index = 5}));
  };
  look();
  {
    const c10::NoGradGuard no_grad;
    look();
    CHECK_FALSE(c10::GradMode::is_enabled());
  }
  {
    const c10::InferenceMode inference;
    look();
    CHECK(c10::InferenceMode::is_enabled());
  }
  CHECK(thaw::test::same_state(before, *net.model));
  CHECK(net.images.equal(images));
  CHECK_FALSE(random.moved());
  for (const auto& entry : net.model->named_parameters()) {
    CAPTURE(entry.key());
    CHECK(entry.value().requires_grad() == (entry.key() != "0.weight"));
    CHECK(entry.value().grad().defined() == (entry.key() == "8.weight"));
  }
  CHECK(parameters["8.weight"].grad().eq(2).all().item<bool>());
  for (const auto& child : net.model->named_children()) CHECK(child.value()->is_training() == (child.key() != "1"));
  CHECK(net.model->is_training());
}

TEST_CASE("what Grad-CAM cannot look at is said") {
  LooksNet net;
  CHECK_THROWS_WITH(grad_cam(net.model, net.images, {.part = "44"}),
                    ContainsSubstring("no part \"44\"") && ContainsSubstring("did you mean \"4\"?"));
  CHECK_THROWS_WITH(grad_cam(net.model, net.images, {.part = "8"}),
                    ContainsSubstring("part \"8\" gives a tensor of 2 dimensions"));
  CHECK_THROWS_WITH(grad_cam(net.model, net.images, {.class_index = 3}), ContainsSubstring("class 3 of 3"));
  CHECK_THROWS_WITH(grad_cam(net.model, net.images, {.class_index = -1}), ContainsSubstring("class -1 of 3"));
  CHECK_THROWS_WITH(grad_cam(net.model, net.images[0]), ContainsSubstring("images of 3 dimensions"));
  torch::nn::Sequential maps(torch::nn::Conv2d(3, 2, 3));
  CHECK_THROWS_WITH(grad_cam(maps, net.images.to(at::kFloat)), ContainsSubstring("output has 4 dimensions"));
  torch::nn::Sequential flat(torch::nn::Flatten(), torch::nn::Linear(504, 2));
  CHECK_THROWS_WITH(grad_cam(flat, net.images.to(at::kFloat)), ContainsSubstring("no part of the model gives maps"));
}
