// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/vision/strongest_patches.hpp>

#include <ATen/ops/allclose.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "support/metrics.hpp"
#include "vision/looks.hpp"

using Catch::Matchers::ContainsSubstring;
using thaw::test::LooksNet;
using thaw::test::tensor_of;
using thaw::vision::ChannelPatches;
using thaw::vision::Patch;
using thaw::vision::strongest_patches;
using thaw::vision::StrongestPatches;

namespace {

/// Black images [N, 1, 16, 16] with one white pixel each.
thaw::InMemory points(const std::vector<cv::Point>& places) {
  at::Tensor images = at::zeros({std::ssize(places), 1, 16, 16});
  for (std::size_t i = 0; i < places.size(); ++i)
    images[static_cast<std::int64_t>(i)][0][places[i].y][places[i].x] = static_cast<float>(10 - static_cast<int>(i));
  return thaw::InMemory({.input = images, .target = at::zeros({std::ssize(places)}, at::kLong), .batch_size = 2});
}

/// A 3x3 convolution for gray images; the middle of its filters counts 2, the rest as given.
torch::nn::Conv2d point_filter(double around = 0.1, std::int64_t channels = 1) {
  torch::nn::Conv2d conv(torch::nn::Conv2dOptions(1, channels, 3).padding(1).bias(false));
  const c10::NoGradGuard no_grad;
  conv->weight.fill_(around);
  conv->weight.select(3, 1).select(2, 1).fill_(around == 1 ? 1 : 2);
  return conv;
}

std::vector<cv::Rect> boxes_of(const ChannelPatches& channel) {
  std::vector<cv::Rect> boxes;
  for (const Patch& patch : channel.patches) boxes.push_back(patch.box);
  return boxes;
}

}  // namespace

TEST_CASE("the strongest images of each channel, and their activations, are what PyTorch's hooks give") {
  LooksNet net;
  const auto fixture = thaw::test::json_fixture("vision/looks.json");
  for (const auto& expected : fixture["strongest"]) {
    const auto& channels = expected["channels"];
    for (const std::int64_t batch_size : {1, 4, 6}) {
      const StrongestPatches found =
          strongest_patches(net.model, net.source(batch_size),
                            {.part = expected["part"].get<std::string>(), .channels = {0, 3, 1}, .patches = 3});
      CHECK(found.part == expected["part"]);
      REQUIRE(found.channels.size() == 3);
      for (const ChannelPatches& channel : found.channels) {
        const auto& golden = channels[static_cast<std::size_t>(channel.channel)];
        REQUIRE(channel.patches.size() == 3);
        for (std::size_t i = 0; i < 3; ++i) {
          const Patch& patch = channel.patches[i];
          CHECK(patch.sample == golden["samples"][i]);
          CHECK(std::abs(patch.activation - golden["activations"][i].get<double>()) < 1e-7);
          CHECK(at::allclose(found.images[patch.image], net.images[patch.sample].to(at::kFloat)));
        }
      }
      CHECK(found.channels[1].channel == 3);
    }
  }
}

TEST_CASE("places in the maps are what PyTorch's hooks give") {
  LooksNet net;
  const auto golden = thaw::test::json_fixture("vision/looks.json")["strongest"][1]["channels"];
  thaw::vision::detail::StrongestPlaces places(3);
  at::Tensor maps = net.images.clone();
  for (const thaw::ForwardPart& part : thaw::forward_parts(*net.model)) {
    maps = part.forward({maps})[0];
    if (part.name == "4") break;
  }
  places.add(maps.slice(0, 0, 5)), places.add(maps.slice(0, 5));
  for (std::int64_t c = 0; c < 5; ++c)
    for (std::size_t i = 0; i < 3; ++i) {
      CHECK(places.of(c)[i].y == golden[static_cast<std::size_t>(c)]["places"][i][0]);
      CHECK(places.of(c)[i].x == golden[static_cast<std::size_t>(c)]["places"][i][1]);
    }
}

TEST_CASE("a patch is what the channel sees: of two convolutions and a stride, by hand") {
  torch::nn::Sequential net(point_filter(), torch::nn::AvgPool2d(2), point_filter());
  const thaw::InMemory source = points({{8, 5}, {9, 10}});
  const StrongestPatches first = strongest_patches(net, source, {.part = "0", .share = 1});
  CHECK(boxes_of(first.channels[0]) == std::vector<cv::Rect>{{7, 4, 3, 3}, {8, 9, 3, 3}});
  CHECK(first.channels[0].patches[0].activation == 20);
  CHECK(first.channels[0].patches[1].activation == 18);
  // A pixel of the second's map sees three by three of the pool's, so six by six of the first's, and these one more.
  const StrongestPatches second = strongest_patches(net, source, {.part = "2", .share = 1});
  CHECK(boxes_of(second.channels[0])[0].size() == cv::Size(8, 8));
  CHECK(boxes_of(second.channels[0])[0].contains({8, 5}));
  CHECK(boxes_of(second.channels[0])[1].contains({9, 10}));
}

TEST_CASE("a smaller share makes smaller patches") {
  torch::nn::Sequential net(point_filter(1), point_filter(1), point_filter(1), point_filter(1));
  const thaw::InMemory source = points({{8, 8}});
  const auto side = [&](double share) {
    return strongest_patches(net, source, {.part = "3", .share = share}).channels[0].patches[0].box.width;
  };
  CHECK(side(1) == 9);
  // by rows the gradient is 1, 4, 10, 16, 19, 16, 10, 4, 1 of 81
  CHECK(side(0.99) == 9);
  CHECK(side(0.98) == 8);
  CHECK(side(0.97) == 7);
  CHECK(side(0.64) == 4);
  CHECK(side(0.62) == 3);
  CHECK(side(0.23) == 1);
}

TEST_CASE("at an image's edge a patch is moved inside, and all of a part are of one size") {
  torch::nn::Sequential net(point_filter());
  const StrongestPatches found =
      strongest_patches(net, points({{0, 0}, {15, 15}, {8, 8}, {3, 4}, {5, 15}}), {.part = "0", .share = 1});
  CHECK(boxes_of(found.channels[0]) ==
        std::vector<cv::Rect>{{0, 0, 3, 3}, {13, 13, 3, 3}, {7, 7, 3, 3}, {2, 3, 3, 3}, {4, 13, 3, 3}});
}

TEST_CASE("where an activation is at its limit, the patch is what all channels see there") {
  torch::nn::Conv2d conv = point_filter(0.1, 2);
  {
    const c10::NoGradGuard no_grad;
    conv->weight[1].fill_(0.1);
  }
  torch::nn::Sequential net(conv, torch::nn::ReLU6());
  const StrongestPatches found = strongest_patches(net, points({{8, 8}}), {.part = "1", .channels = {0}, .share = 1});
  CHECK(found.channels[0].patches[0].activation == 6);
  CHECK(found.channels[0].patches[0].box == cv::Rect(7, 7, 3, 3));
}

TEST_CASE("a channel that sees nothing has the whole image") {
  torch::nn::Sequential net(point_filter(), torch::nn::ReLU());
  {
    const c10::NoGradGuard no_grad;
    net->parameters()[0].fill_(-1);
  }
  const auto found = strongest_patches(net, points({{8, 8}}), {.part = "1"});
  CHECK(found.channels[0].patches[0].box == cv::Rect(0, 0, 16, 16));
}

TEST_CASE("without names, the channels that a few images excite far above the others") {
  torch::nn::Sequential net{torch::nn::Identity()};
  at::Tensor images = at::ones({8, 3, 2, 2});  // channel 0 is the same for all
  for (std::int64_t i = 0; i < 8; ++i) images[i][1] = static_cast<float>(i);
  images[5][2] = 100;  // channel 2 answers to one
  const thaw::InMemory source({.input = images, .target = at::zeros({8}, at::kLong)});
  const auto found = strongest_patches(net, source, {.part = "0", .most_channels = 2, .patches = 1});
  REQUIRE(found.channels.size() == 2);
  CHECK(found.channels[0].channel == 2);
  CHECK(found.channels[0].patches[0].sample == 5);
  CHECK(found.channels[1].channel == 1);
  CHECK(found.channels[1].patches[0].sample == 7);
  CHECK(strongest_patches(net, source, {.part = "0"}).channels.size() == 3);
}

TEST_CASE("what cannot be searched is said") {
  LooksNet net;
  const auto source = net.source();
  CHECK_THROWS_WITH(strongest_patches(net.model, source, {.part = "x"}), ContainsSubstring("no part \"x\""));
  CHECK_THROWS_WITH(strongest_patches(net.model, source, {.part = "8"}), ContainsSubstring("2 dimensions"));
  CHECK_THROWS_WITH(strongest_patches(net.model, source, {.part = "0", .channels = {4}}),
                    ContainsSubstring("channel 4 of 4"));
  CHECK_THROWS_AS(strongest_patches(net.model, source, {.part = "0", .patches = 0}), thaw::ConfigError);
  CHECK_THROWS_AS(strongest_patches(net.model, source, {.part = "0", .share = 0}), thaw::ConfigError);
  CHECK_THROWS_WITH(strongest_patches(net.model, std::vector<thaw::Batch>{}, {.part = "0"}),
                    ContainsSubstring("does not number its samples"));
  const thaw::InMemory flat({.input = at::zeros({2, 3}), .target = at::zeros({2})});
  CHECK_THROWS_WITH(strongest_patches(net.model, flat, {.part = "0"}), ContainsSubstring("an input of 2 dimensions"));
}
