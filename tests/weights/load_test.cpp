// SPDX-License-Identifier: BSD-3-Clause
#include <ATen/Functions.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/adamw.h>
#include <torch/serialize.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <chrono>
#include <limits>
#include <memory>
#include <string>
#include <thaw/weights/load.hpp>
#include <thaw/weights/save.hpp>
#include <vector>

#include "files.hpp"
#include "net.hpp"
#include "samples.hpp"

using Catch::Matchers::ContainsSubstring;
using thaw::load_weights;
using thaw::test::complaint;
using thaw::test::Net;
using thaw::test::NetImpl;
using thaw::test::stored;
using thaw::test::weights;
using Names = std::vector<std::string>;

namespace {

std::vector<at::Tensor> snapshot(const torch::nn::Module& module) {
  std::vector<at::Tensor> all;
  for (const auto& tensor : module.parameters()) all.push_back(tensor.detach().clone());
  for (const auto& tensor : module.buffers()) all.push_back(tensor.clone());
  return all;
}

bool same(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) { return x.equal(y); });
}

thaw::StateDict without(const thaw::StateDict& state, const std::string& left_out) {
  thaw::StateDict rest;
  for (const auto& [name, tensor] : state) {
    if (name != left_out) rest.insert(name, tensor);
  }
  return rest;
}

}  // namespace

TEST_CASE("Weights are copied into parameters and buffers") {
  for (const auto& file : {"net.pth", "net.legacy.pth", "net.safetensors", "nested_state_dict.pth"}) {
    INFO(file);
    Net net;
    const auto report = load_weights(*net, weights(file));
    CHECK(report.loaded.size() == 8);
    CHECK(report.missing.empty());
    CHECK(net->conv->weight.equal(stored({2, 1, 3, 3}, 0)));
    CHECK(net->bn->bias.equal(stored({2}, 2)));
    CHECK(net->bn->running_var.equal(stored({2}, 4)));
    CHECK(net->bn->num_batches_tracked.item<std::int64_t>() == 5);
    CHECK(net->fc->weight.equal(stored({3, 2}, 6)));
  }
}

TEST_CASE("A module may come as reference, holder or shared pointer; weights as path or StateDict") {
  Net net;
  const auto state = thaw::read_weights(weights("net.pth"));
  const std::shared_ptr<NetImpl> pointer = net.ptr();
  const std::shared_ptr<torch::nn::Module> base = net.ptr();
  CHECK(load_weights(net, weights("net.pth")).loaded.size() == 8);
  CHECK(load_weights(net, weights("net.pth").string()).loaded.size() == 8);
  CHECK(load_weights(net, weights("net.pth").c_str()).loaded.size() == 8);
  CHECK(load_weights(pointer, state).loaded.size() == 8);
  CHECK(load_weights(base, state, {.partial = true}).loaded.size() == 8);
  CHECK(load_weights(*net, state).loaded.size() == 8);
  CHECK_THROWS_AS(load_weights(std::shared_ptr<NetImpl>(), state), thaw::ConfigError);
  CHECK_THROWS_AS(load_weights(Net(nullptr), state), thaw::ConfigError);
}

TEST_CASE("Loading converts types and leaves flags and identities alone") {
  Net net;
  net->to(at::kDouble);
  net->conv->weight.set_requires_grad(false);
  net->eval();
  const at::Tensor before = net->fc->weight;
  load_weights(net, weights("net.pth"));
  CHECK(net->fc->weight.is_same(before));
  CHECK(net->fc->weight.scalar_type() == at::kDouble);
  CHECK(net->fc->weight.equal(stored({3, 2}, 6).to(at::kDouble)));
  CHECK(net->fc->weight.requires_grad());
  CHECK(net->fc->weight.is_leaf());
  CHECK_FALSE(net->conv->weight.requires_grad());
  CHECK_FALSE(net->is_training());
}

TEST_CASE("A file that does not fit changes nothing and lists everything") {
  Net net(4);
  const auto before = snapshot(*net);
  thaw::StateDict state;
  for (const auto& [name, tensor] : thaw::read_weights(weights("net.pth"))) {
    state.insert(name == "bn.weight" ? "bn.wieght" : name, tensor);
  }
  const std::string message = complaint([&] { load_weights(net, state); });
  CHECK(same(before, snapshot(*net)));
  CHECK_THAT(message,
             ContainsSubstring(
                 "the state dict: does not fit the model: missing 1, unexpected 1, of another shape 2, fitting 5"));
  CHECK_THAT(message, ContainsSubstring("missing in the file: bn.weight [2] (the file has bn.wieght)"));
  CHECK_THAT(message, ContainsSubstring("unexpected in the file: bn.wieght [2]"));
  CHECK_THAT(message, ContainsSubstring("of another shape: fc.weight (model [4, 2], file [3, 2])"));
  CHECK_THAT(message, ContainsSubstring("of another shape: fc.bias (model [4], file [3])"));
  CHECK_THAT(message, ContainsSubstring(".partial = true"));
}

TEST_CASE("trap 4: A head of another size: LibTorch's own loader takes it, this one does not") {
  torch::serialize::OutputArchive written;
  torch::nn::Linear(2, 10)->save(written);
  std::stringstream stream;
  written.save_to(stream);
  torch::serialize::InputArchive archive;
  archive.load_from(stream);
  torch::nn::Linear three(2, 3);
  three->load(archive);
  CHECK(three->weight.size(0) == 10);  // LibTorch's trap, shown

  torch::nn::Linear head(2, 3);
  thaw::StateDict ten;
  ten.insert("weight", at::zeros({10, 2}));
  ten.insert("bias", at::zeros({10}));
  CHECK_THROWS_AS(load_weights(head, ten), thaw::FileError);
  CHECK(head->weight.size(0) == 3);
}

TEST_CASE("Another architecture is called so") {
  torch::nn::Linear linear(5, 7);
  const std::string message = complaint([&] { load_weights(linear, weights("net.pth"), {.partial = true}); });
  CHECK_THAT(message, ContainsSubstring("net.pth: is of another architecture"));
  CHECK_THAT(message, ContainsSubstring("missing in the file: weight [7, 5]"));
  CHECK_THAT(message, ContainsSubstring("unexpected in the file: bn.running_mean [2]"));
}

TEST_CASE("A partial load takes what fits and reports the rest") {
  Net net(4);
  const at::Tensor head = net->fc->weight.detach().clone();
  const auto report = load_weights(net, without(thaw::read_weights(weights("net.pth")), "bn.bias"), {.partial = true});
  CHECK(report.loaded.size() == 5);
  CHECK(report.missing == Names{"bn.bias"});
  REQUIRE(report.mismatched.size() == 2);
  CHECK(report.mismatched[0].name == "fc.weight");
  CHECK(report.mismatched[0].expected == std::vector<std::int64_t>{4, 2});
  CHECK(report.mismatched[0].found == std::vector<std::int64_t>{3, 2});
  CHECK(net->fc->weight.equal(head));
  CHECK(net->conv->weight.equal(stored({2, 1, 3, 3}, 0)));
}

TEST_CASE("Dropped tensors are neither taken nor asked for; all others still are") {
  Net net(4);
  const at::Tensor head = net->fc->weight.detach().clone();
  const auto report = load_weights(net, weights("net.pth"), {.drop = {"fc.*"}});
  CHECK(report.dropped == Names{"fc.weight", "fc.bias"});
  CHECK(report.loaded.size() == 6);
  CHECK(net->fc->weight.equal(head));
  const auto state = without(thaw::read_weights(weights("net.pth")), "bn.bias");
  CHECK_THROWS_AS(load_weights(net, state, {.drop = {"fc.*"}}), thaw::FileError);
}

TEST_CASE("A drop that names nothing is an error") {
  Net net;
  const auto load = [&] { load_weights(net, weights("net.pth"), {.drop = {"head.*"}}); };
  CHECK_THAT(complaint<thaw::ConfigError>(load), ContainsSubstring(".drop = \"head.*\" names no tensor"));
}

TEST_CASE("A drop may name nothing where that is said, so that one call loads a file with and without a tensor") {
  auto more = thaw::read_weights(weights("net.pth"));
  more.insert("position_ids", at::zeros({1, 4}, at::kLong));
  for (const auto& state : {more, thaw::read_weights(weights("net.pth"))}) {
    Net net;
    const auto report = load_weights(net, state, {.drop = {"position_ids"}, .drop_if_present = true});
    CHECK(report.loaded.size() == 8);
  }
}

TEST_CASE("Renames map a file's names to the model's") {
  thaw::StateDict old;
  for (const auto& [name, tensor] : thaw::read_weights(weights("net.pth"))) {
    old.insert("backbone." + (name.starts_with("bn") ? "norm1" + name.substr(2) : name), tensor);
  }
  Net net;
  const auto report = load_weights(net, old, {.rename = {{"^backbone\\.", ""}, {"^norm\\d\\.(.*)$", "bn.$1"}}});
  CHECK(report.loaded.size() == 8);
  CHECK(net->bn->bias.equal(stored({2}, 2)));
}

TEST_CASE("Renames that make no sense are errors") {
  Net net;
  const auto load = [&](const thaw::Rename& rename) {
    return complaint<thaw::ConfigError>([&] { load_weights(net, weights("net.pth"), {.rename = {rename}}); });
  };
  CHECK_THAT(load({"(", ""}), ContainsSubstring("no regular expression '('"));
  CHECK_THAT(load({"weight|bias", "x"}), ContainsSubstring("out of two tensors"));
}

TEST_CASE("Files without batch counts load, and the report says so") {
  Net net;
  const auto report = load_weights(net, without(thaw::read_weights(weights("net.pth")), "bn.num_batches_tracked"));
  CHECK(report.missing == Names{"bn.num_batches_tracked"});
  CHECK(report.loaded.size() == 7);
}

TEST_CASE("A model without memory is an error") {
  torch::nn::Module module;
  module.register_parameter("a", at::empty({2}, at::kMeta));
  CHECK_THROWS_AS(load_weights(module, weights("model_and_ema.pth")), thaw::ConfigError);
}

TEST_CASE("The key says which dict to load") {
  torch::nn::Module module;
  module.register_parameter("a", at::zeros({2}));
  load_weights(module, weights("model_and_ema.pth"), {.key = "ema.shadow"});
  CHECK(module.named_parameters()["a"][1].item<float>() == 1.5F);
}

TEST_CASE("Tensors that share pages of a file are all loaded") {
  const thaw::test::Folder folder;
  const at::Tensor base = at::arange(90'000, at::kFloat).reshape({300, 300});
  thaw::StateDict state;
  for (const auto& [name, tensor] : {std::pair("a", base), {"b", base.t()}, {"c", base}}) state.insert(name, tensor);
  thaw::save_weights(state, folder / "tied.pth");

  torch::nn::Module module;
  for (const std::string name : {"a", "b", "c"}) module.register_parameter(name, at::ones({300, 300}));
  load_weights(module, folder / "tied.pth");
  for (const auto& [name, tensor] : state) CHECK(module.named_parameters()[name].equal(tensor));
}

TEST_CASE("A prefix takes what it begins, without it") {
  thaw::StateDict whole;
  for (const auto& [name, tensor] : thaw::read_weights(weights("net.pth"))) whole.insert("encoder." + name, tensor);
  whole.insert("decoder.weight", at::zeros({2}));
  Net net;
  CHECK(load_weights(net, whole, {.prefix = "encoder."}).loaded.size() == 8);
  const std::string message = complaint<thaw::ConfigError>([&] { load_weights(net, whole, {.prefix = "backbone."}); });
  CHECK_THAT(message, ContainsSubstring("no name begins with .prefix = \"backbone.\""));
  CHECK_THAT(message, ContainsSubstring("encoder.conv.weight"));
}

TEST_CASE("Heads of another shape can be left, and nothing else") {
  Net net(4);
  const at::Tensor head = net->fc->weight.detach().clone();
  const auto state = thaw::read_weights(weights("net.pth"));
  const auto report = load_weights(net, state, {.ignore_mismatched_sizes = true});
  CHECK(report.loaded.size() == 6);
  REQUIRE(report.mismatched.size() == 2);
  CHECK(report.mismatched[1].name == "fc.bias");
  CHECK(net->fc->weight.equal(head));
  CHECK_THAT(report.to_string(), ContainsSubstring("of another shape: 2 (fc.weight (model [4, 2], file [3, 2])"));
  CHECK_THROWS_AS(load_weights(net, without(state, "bn.bias"), {.ignore_mismatched_sizes = true}), thaw::FileError);
  auto more = state;
  more.insert("extra", at::zeros({2}));
  CHECK_THROWS_AS(load_weights(net, more, {.ignore_mismatched_sizes = true}), thaw::FileError);
}

TEST_CASE("Integers, bool and complex numbers are not taken for real ones, whatever the options, and named") {
  for (const at::ScalarType type : {at::kChar, at::kByte, at::kLong, at::kBool, at::kComplexFloat}) {
    CAPTURE(type);
    torch::nn::Linear linear(2, 2);
    const auto before = snapshot(*linear);
    thaw::StateDict state;
    state.insert("weight", at::ones({2, 2}, type));
    state.insert("bias", at::ones({2}));
    for (const bool partial : {false, true}) {
      const std::string message = complaint([&] { load_weights(linear, state, {.partial = partial}); });
      CHECK_THAT(message, ContainsSubstring("refused: weight is " + std::string(c10::toString(type)) +
                                            ", the model's is Float: another kind of number"));
      CHECK_THAT(message, ContainsSubstring(".drop"));
    }
    CHECK(same(before, snapshot(*linear)));
    CHECK(load_weights(linear, state, {.drop = {"weight"}}).loaded == Names{"bias"});
  }
}

TEST_CASE("A number that becomes infinite is refused with its tensor; one that loses digits is not") {
  const auto load = [](at::ScalarType model, at::ScalarType file, double value) {
    torch::nn::Module module;
    module.register_parameter("a", at::zeros({2}, model));
    thaw::StateDict state;
    state.insert("a", at::tensor({1.0, value}, at::kDouble).to(file));
    const std::string message = complaint([&] { load_weights(module, state, {.partial = true}); });
    if (message.empty()) CHECK(module.named_parameters()["a"].to(at::kDouble)[0].item<double>() == 1);
    return message;
  };
  CHECK_THAT(load(at::kFloat, at::kDouble, 1e300),
             ContainsSubstring("a is Double, the model's is Float, in which some of its numbers are infinite"));
  CHECK_THAT(load(at::kHalf, at::kFloat, 1e5), ContainsSubstring("are infinite"));
  CHECK_THAT(load(at::kHalf, at::kBFloat16, -1e5), ContainsSubstring("are infinite"));
  CHECK(load(at::kHalf, at::kFloat, 0.1).empty());
  CHECK(load(at::kFloat, at::kDouble, 0.1).empty());
  CHECK(load(at::kFloat, at::kHalf, 0.1).empty());
  CHECK(load(at::kFloat, at::kBFloat16, 1e38).empty());
  CHECK(load(at::kDouble, at::kFloat, 1e38).empty());
  CHECK(load(at::kHalf, at::kFloat, std::numeric_limits<double>::infinity()).empty());  // it was infinite before
}

TEST_CASE("A count in another type is taken where it is the same number") {
  const auto load = [](const at::Tensor& count) {
    torch::nn::Module module;
    module.register_buffer("count", at::zeros({}, at::kLong));
    thaw::StateDict state;
    state.insert("count", count);
    return complaint([&] { load_weights(module, state); });
  };
  CHECK(load(at::full({}, 7, at::kInt)).empty());
  CHECK(load(at::full({}, 7, at::kHalf)).empty());
  CHECK_THAT(load(at::full({}, 7.5, at::kFloat)),
             ContainsSubstring("count is Float, the model's is Long, which cannot"));
}

TEST_CASE("Of tied weights one name is enough; two that differ are refused, with both names") {
  struct Shared : torch::nn::Module {
    torch::nn::Embedding embed = register_module("embed", torch::nn::Embedding(4, 3));
    at::Tensor head = register_parameter("head", embed->weight);
  };
  Shared net;
  const at::Tensor numbers = at::arange(12, at::kFloat).reshape({4, 3});
  for (const std::string name : {"embed.weight", "head"}) {
    thaw::StateDict one;
    one.insert(name, numbers);
    const auto report = load_weights(net, one);
    CHECK(report.loaded.size() == 2);
    CHECK(report.missing.empty());
    CHECK(net.embed->weight.equal(numbers));
  }
  thaw::StateDict both;
  both.insert("embed.weight", numbers);
  both.insert("head", numbers.to(at::kDouble));
  CHECK(load_weights(net, both).loaded.size() == 2);

  thaw::StateDict differ;
  differ.insert("embed.weight", numbers);
  differ.insert("head", numbers + 1);
  const std::string message = complaint([&] { load_weights(net, differ, {.partial = true}); });
  CHECK_THAT(message, ContainsSubstring("head and embed.weight are one tensor in the model, and differ in the file"));
  CHECK(net.embed->weight.equal(numbers));
  CHECK(load_weights(net, differ, {.drop = {"embed.*"}}).loaded == Names{"head"});
  CHECK(net.embed->weight.equal(numbers + 1));
}

TEST_CASE("Where a prefix is all that is amiss, the error names the option to give, and it works") {
  for (const std::string prefix : {"model.", "_orig_mod.", "module.module.", "net.encoder."}) {
    CAPTURE(prefix);
    thaw::StateDict whole;
    whole.insert("loss.weight", at::ones({2}));
    for (const auto& [name, tensor] : thaw::read_weights(weights("net.pth"))) whole.insert(prefix + name, tensor);
    Net net;
    const std::string message = complaint([&] { load_weights(net, whole); });
    CHECK_THAT(message, ContainsSubstring("fix: give .prefix = \"" + prefix + "\", with which all 8 tensors fit"));
    CHECK(message.find('\n') == message.rfind('\n'));  // and no list of what is all the same
    CHECK(load_weights(net, whole, {.prefix = prefix}).loaded.size() == 8);

    Net other(4);  // and another head
    const std::string most = complaint([&] { load_weights(other, whole); });
    CHECK_THAT(most, ContainsSubstring("with .prefix = \"" + prefix + "\", 6 of 8 tensors fit; else build the model"));
  }
}

TEST_CASE("A Learner's file says that its weights are under \"model.\"") {
  const thaw::test::Folder folder;
  Net net;
  torch::optim::AdamW optimizer(net->parameters());
  for (at::Tensor& parameter : net->parameters()) parameter.mutable_grad() = at::ones_like(parameter);
  optimizer.step();
  torch::serialize::OutputArchive archive, model, state;  // as Learner::save writes it
  net->save(model);
  optimizer.save(state);
  archive.write("model", model);
  archive.write("optimizer", state);
  archive.save_to((folder / "learner.pt").string());
  Net other;
  CHECK_THAT(complaint([&] { load_weights(other, folder / "learner.pt"); }),
             ContainsSubstring("give .prefix = \"model.\", with which all 8 tensors fit"));
  load_weights(other, folder / "learner.pt", {.prefix = "model."});
  CHECK(same(snapshot(*net), snapshot(*other)));
}

TEST_CASE("A hint that renames make impossible is left out") {
  thaw::StateDict state;
  state.insert("model.weight", at::ones({2}));
  state.insert("model.x.weight", at::ones({2}));
  state.insert("y", at::ones({2}));
  torch::nn::Module module;
  module.register_parameter("weight", at::zeros({2}));
  const std::string message =
      complaint([&] { load_weights(module, state, {.rename = {{"^(x\\.)?weight$", "weight"}}}); });
  CHECK_THAT(message, ContainsSubstring("does not fit the model"));
}

TEST_CASE("Where the file lacks a prefix, the error says how to add it, and that works") {
  torch::nn::Module wrapper;
  wrapper.register_module("model", Net().ptr());
  const std::string message = complaint([&] { load_weights(wrapper, weights("net.pth")); });
  CHECK_THAT(message, ContainsSubstring("give .rename = {{\"^\", \"model.\"}}, with which all 8 tensors fit"));
  CHECK(load_weights(wrapper, weights("net.pth"), {.rename = {{"^", "model."}}}).loaded.size() == 8);
}

TEST_CASE("A prefix that was left out as the file was read is said to be") {
  Net net;
  const auto load = [&](const std::string& prefix) {
    return complaint<thaw::ConfigError>([&] { load_weights(net, weights("module_prefix.pth"), {.prefix = prefix}); });
  };
  CHECK_THAT(load("module."), ContainsSubstring("left out the \"module.\" that began every name. give no .prefix"));
  CHECK_THAT(load("nothing."), !ContainsSubstring("left out"));
}

TEST_CASE("Of a misfit, other shapes are said first, and batch counts in one line, the last") {
  Net net(4);
  thaw::StateDict state = without(thaw::read_weights(weights("net.pth")), "bn.num_batches_tracked");
  state.insert("extra", at::zeros({1}));
  const std::string message = complaint([&] { load_weights(net, without(state, "bn.bias")); });
  const auto at = [&](const char* text) { return message.find(text); };
  CHECK(at("of another shape: fc.weight") < at("missing in the file: bn.bias"));
  CHECK(at("missing in the file: bn.bias") < at("unexpected in the file: extra"));
  CHECK(at("unexpected in the file: extra") < at("batch counts (num_batches_tracked) missing in the file"));
  CHECK(at("bn.num_batches_tracked") == std::string::npos);
}

TEST_CASE("A misfit of many names takes time in proportion to their number") {
  const auto seconds = [](int count) {
    torch::nn::Module module;
    thaw::StateDict state;
    const at::Tensor two = at::zeros({2}), three = at::zeros({3});
    for (int i = 0; i < count; ++i) {
      module.register_buffer("block" + std::to_string(i), two.clone());
      state.insert("layer" + std::to_string(i) + ".weight", i % 2 == 0 ? two : three);
    }
    const auto begin = std::chrono::steady_clock::now();
    const std::string message = complaint([&] { load_weights(module, state); });
    CHECK_THAT(message, ContainsSubstring("is of another architecture"));
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  (void)seconds(500);  // warm
  const double few = seconds(3'000);
  CHECK(seconds(30'000) < 40 * few);  // ten times as many; were it quadratic, 100 times as long
}

namespace {

// The ResNet-20 for CIFAR-10 (arXiv:1512.03385, section 4.2) as a user would write it, by the names of its file.
struct BlockImpl : torch::nn::Module {
  BlockImpl(std::int64_t in, std::int64_t out) : stride(out / in) {
    conv1 = register_module("conv1", convolution(in, out, stride));
    bn1 = register_module("bn1", torch::nn::BatchNorm2d(out));
    conv2 = register_module("conv2", convolution(out, out, 1));
    bn2 = register_module("bn2", torch::nn::BatchNorm2d(out));
  }
  static torch::nn::Conv2d convolution(std::int64_t in, std::int64_t out, std::int64_t stride) {
    return torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, 3).stride(stride).padding(1).bias(false));
  }
  at::Tensor forward(const at::Tensor& x) {
    at::Tensor shortcut = x;
    if (stride == 2) {  // every other pixel, and zeros for the new channels
      const std::int64_t zeros = x.size(1) / 2;
      shortcut = at::constant_pad_nd(x.slice(2, 0, {}, 2).slice(3, 0, {}, 2), {0, 0, 0, 0, zeros, zeros});
    }
    return at::relu(bn2(conv2(at::relu(bn1(conv1(x))))) + shortcut);
  }
  std::int64_t stride;
  torch::nn::Conv2d conv1{nullptr}, conv2{nullptr};
  torch::nn::BatchNorm2d bn1{nullptr}, bn2{nullptr};
};
TORCH_MODULE(Block);

struct ResNet20Impl : torch::nn::Module {
  torch::nn::Conv2d conv1 = register_module("conv1", BlockImpl::convolution(3, 16, 1));
  torch::nn::BatchNorm2d bn1 = register_module("bn1", torch::nn::BatchNorm2d(16));
  torch::nn::Sequential layer1 = register_module("layer1", layer(16, 16));
  torch::nn::Sequential layer2 = register_module("layer2", layer(16, 32));
  torch::nn::Sequential layer3 = register_module("layer3", layer(32, 64));
  torch::nn::Linear linear = register_module("linear", torch::nn::Linear(64, 10));

  static torch::nn::Sequential layer(std::int64_t in, std::int64_t out) {
    return torch::nn::Sequential(Block(in, out), Block(out, out), Block(out, out));
  }
  at::Tensor forward(const at::Tensor& x) {
    const at::Tensor y = layer3->forward(layer2->forward(layer1->forward(at::relu(bn1(conv1(x))))));
    return linear(y.mean({2, 3}));
  }
};
TORCH_MODULE(ResNet20);

}  // namespace

TEST_CASE("A CIFAR-10 ResNet-20 of a user's own takes the published weights") {
  ResNet20 net;
  const auto report = load_weights(net, thaw::test::test_data("resnet20-cifar10.th"));
  CHECK(report.loaded.size() == 2 + 19 * 5);  // the linear layer; 19 convolutions with their norms
  CHECK(report.missing.size() == 19);         // the batch counts, which the file is too old to have
  CHECK(report.unexpected.empty());
  net->eval();
  const at::NoGradGuard no_grad;
  const at::Tensor grey = net->forward(at::zeros({1, 3, 32, 32}));
  CHECK(at::isfinite(grey).all().item<bool>());
  CHECK(grey.std().item<float>() > 0.1F);
}
