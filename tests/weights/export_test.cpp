// SPDX-License-Identifier: BSD-3-Clause
#include <c10/core/GradMode.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <thaw/weights/export.hpp>
#include <thaw/weights/load.hpp>
#include <vector>

#include "files.hpp"
#include "samples.hpp"

using Catch::Matchers::ContainsSubstring;
using thaw::test::complaint;

namespace {

thaw::ExportInfo info() {
  return {.model = "linear",
          .classes = {"cat", "caf\xc3\xa9 \"au lait\""},
          .mean = {0.485, 127. / 255},
          .std = {0.1, 1},
          .image_size = 96,
          .options = {{"head", "concat_pool"}}};
}

}  // namespace

TEST_CASE("An exported network brings its weights, classes and preprocessing") {
  const thaw::test::Folder folder;
  torch::nn::Linear net(3, 2), other(3, 2);
  thaw::export_model(net, folder / "net.safetensors", info());
  const thaw::ExportInfo read = thaw::read_export(folder / "net.safetensors");
  CHECK(read.model == info().model);
  CHECK(read.classes == info().classes);
  CHECK(read.mean == info().mean);
  CHECK(read.std == info().std);
  CHECK(read.image_size == 96);
  CHECK(read.options == info().options);
  CHECK(thaw::load_weights(other, folder / "net.safetensors").loaded.size() == 2);
  CHECK(other->weight.equal(net->weight));
}

TEST_CASE("Exports that no reader could work with are errors, and leave no file") {
  const thaw::test::Folder folder;
  const auto failure = [&](auto change) {
    thaw::ExportInfo changed = info();
    change(changed);
    return complaint<thaw::ConfigError>(
        [&] { thaw::export_model(torch::nn::Linear(3, 2), folder / "net.safetensors", changed); });
  };
  CHECK_THAT(failure([](auto& i) { i.model.clear(); }), ContainsSubstring("model has no name"));
  CHECK_THAT(failure([](auto& i) { i.classes.clear(); }), ContainsSubstring("no classes"));
  CHECK_THAT(failure([](auto& i) {
               i.classes = {"cat", "dog", "cat"};
             }),
             ContainsSubstring("twice, or without a name"));
  CHECK_THAT(failure([](auto& i) { i.classes[1].clear(); }), ContainsSubstring("name each class once"));
  CHECK_THAT(failure([](auto& i) { i.mean.pop_back(); }), ContainsSubstring("1 means and 2 deviations"));
  CHECK_THAT(failure([](auto& i) { i.std[1] = 0; }), ContainsSubstring("not above 0"));
  for (const double bad : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    CHECK_THAT(failure([&](auto& i) { i.mean[1] = bad; }), ContainsSubstring("not finite"));
    CHECK_THAT(failure([&](auto& i) { i.std[0] = bad; }), ContainsSubstring("not finite"));
  }
  CHECK_THAT(failure([](auto& i) { i.image_size = 0; }), ContainsSubstring("image_size is 0"));
  CHECK_THAT(failure([](auto& i) { i.image_size = 10'000; }), ContainsSubstring("8192 at most"));
  CHECK_THAT(failure([](auto& i) { i.classes[0] = "\xff"; }), ContainsSubstring("no UTF-8"));
  CHECK(folder.files() == 0);
}

TEST_CASE("An exported network is not taken for data of other classes, or in another order") {
  const thaw::test::Folder folder;
  const auto path = folder / "net.safetensors";
  thaw::export_model(torch::nn::Linear(3, 2), path, info());
  CHECK(thaw::read_export(path, info().classes).classes == info().classes);
  for (const std::vector<std::string>& other :
       {std::vector<std::string>{info().classes[1], "cat"}, {"cat"}, {"Cat", info().classes[1]}})
    CHECK_THAT(complaint([&] { (void)thaw::read_export(path, other); }),
               ContainsSubstring("its classes are cat, ") && ContainsSubstring("those of the data " + other[0]) &&
                   ContainsSubstring("info.classes"));
}

TEST_CASE("Files that are no exports say so") {
  const thaw::test::Folder folder;
  const auto failure = [&](const std::string& json) {
    thaw::save_weights(torch::nn::Linear(3, 2), folder / "net.safetensors", {.metadata = {{"thaw", json}}});
    return complaint([&] { (void)thaw::read_export(folder / "net.safetensors"); });
  };
  CHECK_THAT(complaint([] { (void)thaw::read_export(thaw::test::weights("net.safetensors")); }),
             ContainsSubstring("holds weights alone"));
  CHECK_THAT(failure("{"), ContainsSubstring("describes its network wrongly"));
  CHECK_THAT(failure("[]"), ContainsSubstring("describes its network wrongly"));
  CHECK_THAT(failure(R"({"model":7})"), ContainsSubstring("describes its network wrongly"));
  CHECK_THAT(failure(R"({"model":"a","classes":["b","b"],"mean":[0],"std":[1],"image_size":1,"options":{}})"),
             ContainsSubstring("a class twice"));
  CHECK_THAT(failure(R"({"model":"a","classes":[],"mean":[],"std":[],"image_size":1,"options":{}})"),
             ContainsSubstring("no classes"));
}

TEST_CASE("An export has what the network gives for a fixed image, by which another network is told from it") {
  struct MeanNetImpl : torch::nn::Module {
    explicit MeanNetImpl(double scale_ = 1) : scale(scale_) { fc = register_module("fc", torch::nn::Linear(2, 2)); }
    at::Tensor forward(const at::Tensor& x) {
      calls.push_back(is_training());
      return fc(x.mean({2, 3})) * scale;
    }
    double scale;
    torch::nn::Linear fc{nullptr};
    std::vector<bool> calls;
  };
  const thaw::test::Folder folder;
  const auto net = std::make_shared<MeanNetImpl>(), other = std::make_shared<MeanNetImpl>(1.02);
  thaw::export_model(net, folder / "net.safetensors", info());
  CHECK(net->calls == std::vector<bool>{false});
  CHECK(net->is_training());
  const thaw::ExportInfo read = thaw::read_export(folder / "net.safetensors");
  REQUIRE(read.probe.size() == 2);
  const c10::NoGradGuard no_grad;
  const at::Tensor expected = net->forward(thaw::probe_input(info()));
  for (std::int64_t i = 0; i < 2; ++i)
    CHECK(std::abs(read.probe[static_cast<std::size_t>(i)] - expected[0][i].item<double>()) < 1e-6);
  CHECK_NOTHROW(thaw::check_export(net, read, "net.safetensors"));
  thaw::load_weights(other, folder / "net.safetensors");
  CHECK_THAT(complaint([&] { thaw::check_export(other, read, "net.safetensors"); }),
             ContainsSubstring("net.safetensors: its tensors fit \"linear\", which gives other outputs") &&
                 ContainsSubstring("bn_eps"));
  CHECK_NOTHROW(thaw::check_export(other, info(), "net.safetensors"));  // says nothing without a probe
}
