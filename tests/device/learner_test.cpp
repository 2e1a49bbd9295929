// The same runs on the device and on the CPU: they must not differ.
#include <thaw/train/learner.hpp>

#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/pooling.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <thaw/data/in_memory.hpp>
#include <thaw/groups/freeze_combine.hpp>
#include <thaw/train/gradient_accumulation.hpp>
#include <thaw/train/gradient_clip.hpp>
#include <thaw/train/loss.hpp>
#include <thaw/train/metric_auroc.hpp>

#include "device/accelerator.hpp"
#include "device/device.hpp"

using Catch::Matchers::WithinRel;
using thaw::FreezeTo;
using thaw::LayerGroups;
using thaw::Learner;
using thaw::Unfrozen;
using thaw::test::near;
using thaw::test::test_device;
using thaw::test::tolerance;

namespace {

torch::nn::Sequential small_network() {
  at::manual_seed(1);
  torch::nn::Sequential net;
  net->push_back("stem", torch::nn::Conv2d(torch::nn::Conv2dOptions(3, 4, 3).padding(1).bias(false)));
  net->push_back("norm", torch::nn::BatchNorm2d(4));
  net->push_back("act", torch::nn::ReLU());
  net->push_back("pool", torch::nn::MaxPool2d(2));
  net->push_back("body", torch::nn::Conv2d(4, 6, 3));
  net->push_back("act2", torch::nn::ReLU());
  net->push_back("mean", torch::nn::AdaptiveAvgPool2d(1));
  net->push_back("flat", torch::nn::Flatten());
  net->push_back("head", torch::nn::Linear(6, 3));
  net->to(at::kDouble);
  return net;
}

thaw::InMemory pictures(std::int64_t n, std::uint64_t seed, bool shuffle, at::Device device = at::kCPU) {
  const at::Generator random = at::make_generator<at::CPUGeneratorImpl>(seed);
  const at::Tensor target = at::randint(3, {n}, random, at::kLong);
  const at::Tensor noise = at::randn({n, 3, 8, 8}, random, at::kDouble);
  return thaw::InMemory({.input = (noise + target.view({n, 1, 1, 1})).to(device),
                         .target = target.to(device),
                         .batch_size = 8,
                         .shuffle = shuffle});
}

struct Bench {
  explicit Bench(at::Device device_, thaw::LearnerOptions more = {})
      : device(device_), learner(net, LayerGroups::cut_before(net, {"body", "head"}), thaw::cross_entropy, [&] {
          net->to(device);
          more.train = pictures(40, 1, true);
          more.valid = pictures(20, 2, false);
          more.metrics = {thaw::accuracy(), thaw::auroc()};
          return std::move(more);
        }()) {}
  at::Device device;
  torch::nn::Sequential net = small_network();
  Learner learner;
};

void check_same(Learner& found, Learner& expected) {
  const auto weights = expected.groups().module()->named_parameters(),
             buffers = expected.groups().module()->named_buffers();
  for (const auto& each : found.groups().module()->named_parameters()) {
    CAPTURE(each.key());
    CHECK(each.value().device() == found.device());
    CHECK(near(each.value(), weights[each.key()]));
  }
  for (const auto& each : found.groups().module()->named_buffers()) {
    CAPTURE(each.key());
    CHECK(near(each.value(), buffers[each.key()]));
  }
  REQUIRE(found.history().steps.size() == expected.history().steps.size());
  for (std::size_t i = 0; i < expected.history().steps.size(); ++i)
    CHECK_THAT(found.history().steps[i].loss, WithinRel(expected.history().steps[i].loss, 1e3 * tolerance()));
  REQUIRE(found.history().epochs.size() == expected.history().epochs.size());
  for (std::size_t i = 0; i < expected.history().epochs.size(); ++i) {
    const auto &a = found.history().epochs[i].valid.value(), &b = expected.history().epochs[i].valid.value();
    CHECK_THAT(a.loss, WithinRel(b.loss, 1e3 * tolerance()));
    REQUIRE(a.metrics.size() == b.metrics.size());
    for (std::size_t m = 0; m < a.metrics.size(); ++m) {
      CAPTURE(a.metrics[m].name);
      CHECK_THAT(a.metrics[m].value, WithinRel(b.metrics[m].value, 1e3 * tolerance()));
    }
  }
}

}  // namespace

TEST_CASE("a plan in stages ends on the device where it ends on the CPU") {
  Bench here(at::kCPU), there(test_device());
  for (Bench* bench : {&here, &there})
    bench->learner.fit(
        std::vector<thaw::Stage>{
            {.name = "head", .epochs = 1, .freeze = FreezeTo{-1}, .lr = 1e-2},
            {.name = "body", .epochs = 1, .freeze = FreezeTo{-2}, .lr = thaw::DiscriminativeLR::slice(1e-4, 1e-2)},
            {.name = "all", .epochs = 2, .freeze = Unfrozen{}, .lr = thaw::DiscriminativeLR::slice(1e-4, 1e-2)}},
        thaw::GradientClip{.norm = 0.1}, thaw::GradientAccumulation{2});
  check_same(there.learner, here.learner);
  CHECK(thaw::test::accelerator::misuse().empty());
}
