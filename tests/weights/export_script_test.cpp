// SPDX-License-Identifier: BSD-3-Clause
#include <ATen/Context.h>
#include <ATen/ops/batch_norm.h>
#include <ATen/ops/randn.h>
#include <torch/csrc/jit/serialization/import.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/linear.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <string>
#include <thaw/groups/script_module.hpp>
#include <thaw/models/bert.hpp>
#include <thaw/models/make.hpp>
#include <thaw/weights/export_script.hpp>
#include <thaw/weights/load.hpp>
#include <vector>

#include "files.hpp"
#include "python.hpp"
#include "support/folder.hpp"
#include "support/nets.hpp"

using Catch::Matchers::ContainsSubstring;
using thaw::test::complaint;

namespace {

thaw::ExportInfo of_images(std::int64_t side = 64) {
  return {.model = "own",
          .classes = {"a", "b", "c", "d"},
          .mean = {0.5, 0.5, 0.5},
          .std = {0.25, 0.25, 0.25},
          .image_size = side};
}

/// Moves its statistics, whatever mode it is in.
struct AlwaysTrainsImpl : torch::nn::Module {
  AlwaysTrainsImpl() { register_module("norm", norm), register_module("fc", fc); }
  at::Tensor forward(const at::Tensor& x) {
    return fc(at::batch_norm(x, norm->weight, norm->bias, norm->running_mean, norm->running_var, true, 0.1, 1e-5, false)
                  .mean({2, 3}));
  }
  torch::nn::BatchNorm2d norm{3};
  torch::nn::Linear fc{3, 4};
};
TORCH_MODULE(AlwaysTrains);

/// Takes the number of images for a constant.
struct CountsImagesImpl : torch::nn::Module {
  CountsImagesImpl() { register_module("fc", fc); }
  at::Tensor forward(const at::Tensor& x) { return fc(x.mean({2, 3}).view({x.size(0), 3})); }
  torch::nn::Linear fc{3, 4};
};
TORCH_MODULE(CountsImages);

}  // namespace

TEST_CASE("A traced network gives the same bits, for any number of images, with the names of its state dict") {
  const thaw::test::Folder folder;
  const auto path = folder / "net.ts";
  for (const std::string name : {"resnet18", "efficientnet_lite0", "efficientnet_b0", "mobilenet_v3_large",
                                 "convnext_tiny", "deit_tiny_patch16_224"}) {
    CAPTURE(name);
    at::manual_seed(3);
    thaw::models::Network net = thaw::models::make(name);
    replace_head(net, 4);
    const std::int64_t side = net->pools_features() ? 224 : 64;
    net->train();
    const auto before = thaw::test::state_of(*net);
    thaw::export_script(net, path, of_images(side));
    CHECK(net->is_training());
    CHECK(net->children().back()->is_training());
    CHECK(thaw::test::changed(before, *net).empty());

    net->eval();
    const c10::NoGradGuard no_grad;
    torch::jit::Module script = torch::jit::load(path.string());
    for (const std::int64_t images : {1, 2, 5}) {
      const at::Tensor x = at::randn({images, 3, side, side});
      const at::Tensor expected = net->forward(x);
      for (int run = 0; run < 3; ++run) CHECK(script.forward({x}).toTensor().equal(expected));  // it optimises itself
    }
    thaw::ScriptModule again(script);
    CHECK(again->norms_stuck_in_training().empty());
    CHECK(thaw::test::changed(thaw::test::state_of(*net), *again).empty());
    const thaw::ExportInfo read = thaw::read_export(path);
    CHECK(read.classes == of_images().classes);
    CHECK(read.image_size == side);
    CHECK(read.probe.size() == 4);
    CHECK(thaw::is_script(path));
    thaw::models::Network other = thaw::models::make(name);
    replace_head(other, 4);
    CHECK_FALSE(thaw::load_weights(other, path).loaded.empty());
    CHECK(thaw::test::changed(before, *other).empty());
  }
}

TEST_CASE("Python runs what was traced, without the network's code, and train() changes nothing about it") {
  thaw::test::need_python({"torch"});
  const thaw::test::Folder folder;
  at::manual_seed(4);
  thaw::models::Network net = thaw::models::make("resnet18");
  replace_head(net, 4);
  thaw::export_script(net, folder / "net.ts", of_images());
  thaw::StateDict in;
  in.insert("x", at::randn({3, 3, 64, 64}));
  thaw::save_weights(in, folder / "in.pth");
  REQUIRE(thaw::test::python("run_script.py", {folder / "net.ts", folder / "in.pth", folder / "out.pth"}));
  const thaw::StateDict out = thaw::read_weights(folder / "out.pth");
  net->eval();
  const c10::NoGradGuard no_grad;
  const at::Tensor expected = net->forward(in.at("x"));
  CHECK((out.at("y") - expected).abs().max().item<double>() < 1e-5);  // by another build of LibTorch
  CHECK(out.at("train").equal(out.at("y")));
}

TEST_CASE("What a trace would get wrong is refused, and leaves no file and no change") {
  const thaw::test::Folder folder;
  AlwaysTrains moving;
  const auto before = thaw::test::state_of(*moving);
  CHECK_THAT(complaint<thaw::ConfigError>([&] { thaw::export_script(moving, folder / "net.ts", of_images()); }),
             ContainsSubstring("net.ts: the network changes its buffers in evaluation mode"));
  CHECK(thaw::test::changed(before, *moving).empty());
  CHECK_THAT(complaint<thaw::ConfigError>([&] { thaw::export_script(CountsImages(), folder / "net.ts", of_images()); }),
             ContainsSubstring("traced, the network fails for 3 images") && ContainsSubstring("x.expand_as(y)"));
  auto more = of_images();
  more.classes.emplace_back("e");
  CHECK_THAT(complaint<thaw::ConfigError>(
                 [&] { thaw::export_script(thaw::models::make("resnet18", {.classes = 4}), folder / "net.ts", more); }),
             ContainsSubstring("gives [1, 4] for an image, and the export has 5 classes"));
  more.classes.clear();
  CHECK_THAT(complaint<thaw::ConfigError>([&] { thaw::export_script(CountsImages(), folder / "net.ts", more); }),
             ContainsSubstring("no classes"));
  CHECK(folder.files() == 0);
}

TEST_CASE("A TorchScript program from elsewhere has no classes") {
  CHECK_THAT(complaint([] { (void)thaw::read_export(thaw::test::weights("torchscript.pt")); }),
             ContainsSubstring("holds weights alone"));
}
