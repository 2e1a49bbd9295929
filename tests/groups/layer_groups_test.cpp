// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/groups/layer_groups.hpp>

#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/linear.h>

#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "support/groups.hpp"
#include "support/nets.hpp"

using Catch::Matchers::ContainsSubstring;
using thaw::LayerGroups;
using thaw::test::message;
using thaw::test::names;
using thaw::test::TinyNet;

TEST_CASE("cut_before splits in order, disjoint and complete") {
  TinyNet net;
  const auto groups = LayerGroups::cut_before(net, {"body", "head"});
  REQUIRE(groups.size() == 3);
  CHECK(groups[0].name == "stem");
  CHECK(groups[1].name == "body");
  CHECK(groups[2].name == "head");
  CHECK(names(groups[0]) == std::vector<std::string>{"stem.0.weight", "stem.0.bias", "stem.1.weight", "stem.1.bias"});
  CHECK(names(groups[2]) == std::vector<std::string>{"head.weight", "head.bias"});
  std::size_t parameters = 0, buffers = 0;
  std::int64_t numel = 0, expected = 0;
  for (const auto& group : groups)
    parameters += group.parameters.size(), buffers += group.buffers.size(), numel += group.numel();
  for (const auto& parameter : net->parameters()) expected += parameter.numel();
  CHECK(parameters == net->parameters().size());
  CHECK(buffers == net->buffers().size());
  CHECK(numel == expected);
  CHECK(groups[0].norms.size() == 1);
  CHECK(groups[2].norms.empty());
}

TEST_CASE("cuts may go inside a module") {
  TinyNet net;
  const auto groups = LayerGroups::cut_before(net, {"stem.1", "body.0"});
  CHECK(names(groups[0]) == std::vector<std::string>{"stem.0.weight", "stem.0.bias"});
  CHECK(names(groups[1]) == std::vector<std::string>{"stem.1.weight", "stem.1.bias"});
  CHECK(groups[2].parameters.size() == 6);
}

TEST_CASE("a shared parameter is in the first group that has it, once") {
  struct TiedImpl : torch::nn::Module {
    TiedImpl() {
      in = register_module("in", torch::nn::Linear(3, 3));
      out = register_module("out", torch::nn::Linear(3, 3));
      out->weight = out->register_parameter("tied", in->weight);
    }
    torch::nn::Linear in{nullptr}, out{nullptr};
  };
  const auto groups = LayerGroups::cut_before(std::make_shared<TiedImpl>(), {"out"});
  CHECK(names(groups[0]) == std::vector<std::string>{"in.weight", "in.bias"});
  CHECK(names(groups[1]) == std::vector<std::string>{"out.weight", "out.bias"});
}

TEST_CASE("biases, norms and vectors do not decay; what required no gradient never trains") {
  TinyNet net;
  net->head->bias.set_requires_grad(false);
  auto groups = LayerGroups::cut_before(net, {"head"});
  for (const auto& group : groups)
    for (const auto& parameter : group.parameters) {
      CAPTURE(parameter.name);
      CHECK(parameter.decays == (parameter.tensor.dim() == 2));
      CHECK(parameter.of_norm == (parameter.name.find(".1.") != std::string::npos));
      CHECK(parameter.trainable == (parameter.name != "head.bias"));
    }
  groups.freeze({false, false}, {});
  CHECK_FALSE(net->head->bias.requires_grad());
}

TEST_CASE("groups survive to(dtype)") {
  TinyNet net;
  const auto groups = LayerGroups::cut_before(net, {"head"});
  net->to(at::kDouble);
  CHECK(groups[1].parameters[0].tensor.scalar_type() == at::kDouble);
  CHECK(groups[1].parameters[0].tensor.is_same(net->head->weight));
}

TEST_CASE("an unknown name is an error that names the nearest and what there is") {
  TinyNet net;
  CHECK_THAT(message([&] { return LayerGroups::cut_before(net, {"haed"}); }),
             ContainsSubstring("no module \"haed\"") && ContainsSubstring("did you mean \"head\"?") &&
                 ContainsSubstring("Its children are: stem, body, head"));
  CHECK_THAT(message([&] { return LayerGroups::cut_before(net, {"stem.7"}); }),
             ContainsSubstring("no module \"stem.7\"") && ContainsSubstring("\"stem\" holds: stem.0, stem.1, stem.2"));
}

TEST_CASE("names out of order and groups without parameters are errors") {
  TinyNet net;
  CHECK_THAT(message([&] { return LayerGroups::cut_before(net, {"head", "body"}); }),
             ContainsSubstring("\"body\" does not come after \"head\""));
  CHECK_THAT(message([&] { return LayerGroups::cut_before(net, {"head", "head"}); }), ContainsSubstring("each once"));
  CHECK_THAT(message([&] { return LayerGroups::cut_before(net, {"stem"}); }), ContainsSubstring("no parameters"));
  CHECK_THAT(message([&] { return LayerGroups::cut_before(net, {"body.2", "head"}); }),
             ContainsSubstring("no parameters"));
}

TEST_CASE("no cut gives one group") {
  TinyNet net;
  const auto groups = LayerGroups::cut_before(net, {});
  REQUIRE(groups.size() == 1);
  CHECK(groups[0].parameters.size() == net->parameters().size());
}

TEST_CASE("another number of flags than groups is refused, and nothing is frozen") {
  TinyNet net;
  auto groups = LayerGroups::cut_before(net, {"body", "head"});
  CHECK_THROWS_AS(groups.freeze({true}, {}), thaw::ConfigError);
  CHECK_THROWS_AS(groups.freeze({true, true, true, true}, {}), thaw::ConfigError);
  CHECK(groups.frozen() == std::vector{false, false, false});
}

TEST_CASE("groups made of what other groups froze come with a warning") {
  struct Heard : c10::WarningHandler {
    void process(const c10::Warning& warning) override { text += warning.msg(); }
    std::string text;
  } heard;
  TinyNet net;
  auto old = LayerGroups::cut_before(net, {"body", "head"});
  (void)old.freeze({true, true, false}, {});
  const c10::WarningUtils::WarningHandlerGuard guard(&heard);
  (void)LayerGroups::cut_before(net, {"head"});
  CHECK(heard.text.find("no parameter of group \"stem\" requires a gradient") != std::string::npos);
  heard.text.clear();
  (void)old.freeze({false, false, false}, {});
  (void)LayerGroups::cut_before(net, {"head"});
  CHECK(heard.text.empty());
}

TEST_CASE("a model that keeps statistics of its input is no norm layer") {
  struct Net : torch::nn::Module {
    Net() {
      register_buffer("running_mean", at::zeros({4}));
      register_module("dropout", torch::nn::Dropout(0.5));
      register_module("stem", torch::nn::Linear(4, 4));
      register_module("head", torch::nn::Linear(4, 2));
    }
  };
  const auto net = std::make_shared<Net>();
  auto groups = LayerGroups::cut_before(net, {"head"});
  CHECK(groups[0].norms.empty());
  CHECK(groups[0].parameters[0].decays);
  (void)groups.freeze({true, false}, {});
  groups.train();
  CHECK(net->children()[0]->is_training());
}
