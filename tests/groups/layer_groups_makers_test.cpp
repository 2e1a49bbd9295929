// SPDX-License-Identifier: BSD-3-Clause
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/instancenorm.h>
#include <torch/nn/modules/normalization.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <thaw/groups/layer_groups.hpp>
#include <thaw/groups/norm_momentum.hpp>
#include <thaw/groups/regex.hpp>

#include "support/groups.hpp"
#include "support/nets.hpp"

using Catch::Matchers::ContainsSubstring;
using thaw::LayerGroups;
using thaw::test::check_partition;
using thaw::test::names;
using thaw::test::TinyNet;
using Strings = std::vector<std::string>;

namespace {

/// A convolution and norms of all kinds: affine or not, with running statistics or not, and a buffer of the net itself.
struct NormNetImpl : torch::nn::Module {
  NormNetImpl() {
    register_module("linear", torch::nn::Linear(4, 4));
    register_module("bare", torch::nn::BatchNorm1d(torch::nn::BatchNorm1dOptions(4).affine(false)));
    register_module("instance", torch::nn::InstanceNorm1d(
                                    torch::nn::InstanceNorm1dOptions(4).affine(true).track_running_stats(true)));
    register_module("stateless", torch::nn::InstanceNorm1d(torch::nn::InstanceNorm1dOptions(4).affine(true)));
    register_module("layer", torch::nn::LayerNorm(torch::nn::LayerNormOptions({4, 3, 3})));
    register_module("group", torch::nn::GroupNorm(2, 4));
    register_buffer("scale", at::randn({4}));
    register_module("head", torch::nn::Linear(4, 2));
  }
};
TORCH_MODULE(NormNet);

}  // namespace

TEST_CASE("cut_at cuts a Sequential before these indices") {
  torch::nn::Sequential net(torch::nn::Linear(2, 3), torch::nn::ReLU(), torch::nn::Linear(3, 3), torch::nn::ReLU(),
                            torch::nn::Linear(3, 2));
  const auto groups = LayerGroups::cut_at(net, {2, 4});
  check_partition(groups);
  REQUIRE(groups.size() == 3);
  CHECK(groups[1].name == "2");
  CHECK(names(groups[1]) == Strings{"2.weight", "2.bias"});
  CHECK_THROWS_WITH(LayerGroups::cut_at(net, {5}), ContainsSubstring("index 5 of 5 modules"));
  CHECK_THROWS_WITH(LayerGroups::cut_at(net, {0}), ContainsSubstring("index 0 of 5 modules"));
  CHECK_THROWS_WITH(LayerGroups::cut_at(net, {4, 2}), ContainsSubstring("index 2 comes after 4"));
  CHECK_THROWS_WITH(LayerGroups::cut_at(net, {2, 2}), ContainsSubstring("each once"));
  CHECK_THROWS_WITH(LayerGroups::cut_at(net, {1, 2}), ContainsSubstring("cut_at: group 1 (\"1\") has no parameters"));
}

TEST_CASE("per_child gives one group per child; children without parameters join a neighbour") {
  TinyNet net;
  const auto groups = LayerGroups::per_child(net);
  check_partition(groups);
  REQUIRE(groups.size() == 3);
  CHECK(groups[1].name == "body");

  torch::nn::Sequential flat(torch::nn::ReLU(), torch::nn::BatchNorm1d(torch::nn::BatchNorm1dOptions(2).affine(false)),
                             torch::nn::Linear(2, 3), torch::nn::ReLU(), torch::nn::Linear(3, 2));
  const auto joined = LayerGroups::per_child(flat);
  check_partition(joined);
  REQUIRE(joined.size() == 2);
  CHECK(joined[0].name == "2");
  CHECK(joined[0].norms.size() == 1);
  CHECK(joined[1].name == "4");
  CHECK_THROWS_WITH(LayerGroups::per_child(torch::nn::Sequential(torch::nn::ReLU())),
                    ContainsSubstring("has no parameters"));
}

TEST_CASE("of_modules takes lists of modules of any type, each with all that is below it") {
  TinyNet net;
  const auto groups = LayerGroups::of_modules(net, {{net->stem, net->body[0]}, {net->body[1], net->head}});
  check_partition(groups);
  REQUIRE(groups.size() == 2);
  CHECK(names(groups[1]) == Strings{"body.1.weight", "body.1.bias", "head.weight", "head.bias"});
  CHECK(groups[1].name == "body.1");
  CHECK(groups[0].norms.size() == 1);
  CHECK(LayerGroups::of_modules(net, {{net}}).size() == 1);
  CHECK(LayerGroups::of_modules(net, {{net->head}, {net->stem, net->body}})[0].name == "head");  // the order given
}

TEST_CASE("of_modules refuses strangers, modules in two groups, and tensors in none") {
  TinyNet net;
  const torch::nn::Linear stranger(5, 3);
  const auto message = [&](const std::vector<std::vector<thaw::ModuleRef>>& lists) {
    return thaw::test::message([&] { return LayerGroups::of_modules(net, lists); });
  };
  CHECK_THAT(message({{net->stem}, {net->body, stranger}}),
             ContainsSubstring("module 1 of group 1 (torch::nn::LinearImpl) is not in the model"));
  CHECK_THAT(message({{net->stem, net->body}, {net->head, net->body[0]}}),
             ContainsSubstring("\"body.0\" is in the groups 0 and 1"));
  CHECK_THAT(message({{net->stem}, {net->body}}), ContainsSubstring("in no group: head.weight, head.bias"));
  CHECK_THAT(message({{net->stem, net->body, net->head}, {}}), ContainsSubstring("has no parameters"));
  CHECK_THAT(message({{std::shared_ptr<torch::nn::Module>()}}), ContainsSubstring("is empty"));
}

TEST_CASE("matching takes globs and regular expressions over parameter names") {
  TinyNet net;
  const auto groups = LayerGroups::matching(
      net, {{"low", {"stem.*", "body.0.*"}}, {"norm", {thaw::regex("body\\.[1-9]\\..*")}}, {"top", {"head.*"}}});
  check_partition(groups);
  REQUIRE(groups.size() == 3);
  CHECK(groups[0].name == "low");
  CHECK(names(groups[1]) == Strings{"body.1.weight", "body.1.bias"});
  CHECK(groups[1].norms.size() == 1);
  CHECK(groups[1].buffers.size() == 3);
}

TEST_CASE("matching puts buffers where the module's first parameter is, else where their own names match") {
  NormNet net;
  const auto message = [&](const std::vector<thaw::NamedPatterns>& groups) {
    return thaw::test::message([&] { return LayerGroups::matching(net, groups); });
  };
  const auto groups = LayerGroups::matching(net, {{"a", {"linear.*", "bare.*"}},
                                                  {"b", {"instance.*", "stateless.*", "layer.*", "group.*"}},
                                                  {"c", {"head.*", "scale"}}});
  check_partition(groups);
  CHECK(groups[0].norms.size() == 1);
  CHECK(groups[0].buffers.size() == 3);
  CHECK(groups[1].norms.size() == 1);
  CHECK(groups[2].buffers.size() == 1);
  CHECK_THAT(message({{"a", {"linear.*"}},
                      {"b", {"instance.*", "stateless.*", "layer.*", "group.*"}},
                      {"c", {"head.*", "scale"}}}),
             ContainsSubstring("in no group: bare.running_mean"));
}

TEST_CASE("matching refuses patterns without a match, and tensors that match no group or several") {
  TinyNet net;
  const auto message = [&](const std::vector<thaw::NamedPatterns>& groups) {
    return thaw::test::message([&] { return LayerGroups::matching(net, groups); });
  };
  CHECK_THAT(message({{"low", {"stem.*", "body.*"}}, {"top", {"haed.weight", "head.*"}}}),
             ContainsSubstring("\"haed.weight\" of group \"top\" matches no") &&
                 ContainsSubstring("nearest name is \"head.weight\""));
  CHECK_THAT(message({{"low", {"stem.*", "*.0.*"}}, {"top", {"body.*", "head.*"}}}),
             ContainsSubstring("in several groups: body.0.weight (low and top), body.0.bias (low and top)"));
  CHECK_THAT(message({{"low", {"stem.*"}}, {"top", {"head.*"}}}),
             ContainsSubstring("in no group: body.0.weight, body.0.bias, body.1.weight, body.1.bias"));
  CHECK_THAT(message({{"all", {"*"}}, {"none", {}}}), ContainsSubstring("group 1 (\"none\") has no parameters"));
  CHECK_THAT(message({}), ContainsSubstring("no groups"));
}

TEST_CASE("norm layers with running statistics are those of every kind; no norm layer's weight decays") {
  NormNet net;
  const auto groups = LayerGroups::per_child(net);
  check_partition(groups);
  std::size_t norms = 0;
  for (const auto& group : groups) {
    norms += group.norms.size();
    for (const auto& parameter : group.parameters) {
      CAPTURE(parameter.name);
      CHECK(parameter.of_norm == parameter.name.starts_with("instance."));
      CHECK(parameter.decays == (parameter.name == "linear.weight" || parameter.name == "head.weight"));
    }
  }
  CHECK(norms == 2);  // bare, instance
}

TEST_CASE("a pattern cuts before each module that it matches, so that blocks need no names of their own") {
  const auto block = [] { return torch::nn::Sequential(torch::nn::Linear(2, 2), torch::nn::ReLU()); };
  const auto net = std::make_shared<torch::nn::Module>("Net");
  net->register_module("stem", torch::nn::Linear(2, 2));
  for (const char* name : {"layer1", "layer2"}) {
    const auto blocks = net->register_module(name, torch::nn::ModuleList());
    for (int i = 0; i < 3; ++i) blocks->push_back(block());
    blocks->push_back(torch::nn::ReLU());  // brings no parameters: it stays with the block before
  }
  net->register_module("fc", torch::nn::Linear(2, 2));
  const auto names_of = [](const LayerGroups& groups) {
    Strings all;
    for (const auto& group : groups) all.push_back(group.name);
    return all;
  };
  const auto groups = LayerGroups::cut_before(net, {"layer?.*", "fc"});
  check_partition(groups);
  CHECK(names_of(groups) ==
        Strings{"stem", "layer1.0", "layer1.1", "layer1.2", "layer2.0", "layer2.1", "layer2.2", "fc"});
  CHECK(names_of(LayerGroups::cut_before(net, {"layer1", "layer2.*"})) ==
        Strings{"stem", "layer1", "layer2.0", "layer2.1", "layer2.2"});
  CHECK_THROWS_WITH(LayerGroups::cut_before(net, {"layer?.*.7"}),
                    ContainsSubstring("the model has no module \"layer?.*.7\""));
  CHECK_THROWS_WITH(LayerGroups::cut_before(net, {"fc", "layer1.*"}),
                    ContainsSubstring("\"layer1.0\" does not come after \"fc\""));
}

TEST_CASE("weight decay can be said by names: of biases too, or of fewer") {
  TinyNet net;
  const auto decaying = [](const LayerGroups& groups) {
    Strings all;
    for (const auto& group : groups)
      for (const auto& parameter : group.parameters)
        if (parameter.decays) all.push_back(parameter.name);
    return all;
  };
  auto groups = LayerGroups::cut_before(net, {"body", "head"});
  (void)groups.freeze({true, false, false}, thaw::hold_everywhere);
  const auto biases = groups.with_decay({"*.0.bias", "head.bias"});
  CHECK(decaying(biases) ==
        Strings{"stem.0.weight", "stem.0.bias", "body.0.weight", "body.0.bias", "head.weight", "head.bias"});
  CHECK(decaying(biases.without_decay({thaw::regex("(stem|body)\\..*")})) == Strings{"head.weight", "head.bias"});
  CHECK(decaying(groups) == Strings{"stem.0.weight", "body.0.weight", "head.weight"});  // as it was

  CHECK(biases.frozen() == groups.frozen());
  CHECK(biases.norm_rule() == groups.norm_rule());
  const TinyNet other;
  CHECK(decaying(biases.rebind(other)) == decaying(biases));
  CHECK_THROWS_WITH(groups.with_decay({"*.bais"}),
                    ContainsSubstring("LayerGroups::with_decay: the pattern \"*.bais\" matches no parameter"));
}

TEST_CASE("tokens, position embeddings, scales and biases of any shape do not decay; matrices and kernels do") {
  struct Net : torch::nn::Module {
    explicit Net(const std::vector<std::pair<std::string, std::vector<std::int64_t>>>& parameters) {
      for (const auto& [name, shape] : parameters) register_parameter(name, at::zeros(shape));
    }
  };
  const auto decays = [](const std::string& name, const std::vector<std::int64_t>& shape) {
    return LayerGroups::cut_before(std::make_shared<Net>(std::vector{std::pair{name, shape}}), {})[0]
        .parameters[0]
        .decays;
  };
  CHECK_FALSE(decays("class_token", {1, 1, 8}));
  CHECK_FALSE(decays("register_tokens", {1, 4, 8}));
  CHECK_FALSE(decays("pos_embedding", {1, 197, 8}));
  CHECK_FALSE(decays("positional_embedding", {77, 8}));
  CHECK_FALSE(decays("rel_pos_h", {13, 8}));
  CHECK_FALSE(decays("relative_position_bias_table", {169, 4}));
  CHECK_FALSE(decays("layer_scale", {8, 1, 1}));
  CHECK_FALSE(decays("gamma", {8, 2}));
  CHECK_FALSE(decays("temperature", {8, 1, 1}));
  CHECK_FALSE(decays("bias_k", {1, 1, 8}));
  CHECK(decays("weight", {1, 8}));
  CHECK(decays("weight", {8, 3, 3, 3}));
  CHECK(decays("in_proj_weight", {24, 8}));
  CHECK(decays("weight_hh_l0", {8, 8}));
  CHECK(decays("kernel", {3, 3, 4, 8}));
  CHECK(decays("W", {8, 8}));
}

TEST_CASE("a norm layer is one by its type, whatever it holds, and by its buffers") {
  // as timm's BatchNormAct2d: the activation and dropout are its children.
  struct NormActImpl : torch::nn::BatchNorm1dImpl {
    explicit NormActImpl(std::int64_t n) : BatchNorm1dImpl(n) {
      act = register_module("act", torch::nn::PReLU());
      drop = register_module("drop", torch::nn::Dropout());
    }
    torch::nn::PReLU act{nullptr};
    torch::nn::Dropout drop{nullptr};
  };
  struct OwnNormImpl : torch::nn::Module {
    explicit OwnNormImpl(std::int64_t n) {
      register_buffer("running_mean", at::zeros({n}));
      register_buffer("running_var", at::ones({n}));
      register_parameter("weight", at::ones({n}));
      register_module("act", torch::nn::PReLU());
    }
  };
  const auto net = std::make_shared<torch::nn::Module>("Net");
  const auto act = net->register_module("act", std::make_shared<NormActImpl>(4));
  const auto own = net->register_module("own", std::make_shared<OwnNormImpl>(4));
  net->register_module("head", torch::nn::Linear(4, 2));
  auto groups = LayerGroups::cut_before(net, {"head"});
  REQUIRE(groups[0].norms.size() == 2);
  for (const auto& parameter : groups[0].parameters)
    CHECK(parameter.of_norm == (parameter.name.find(".act.") == std::string::npos));
  CHECK(thaw::set_norm_momentum(*net, 0.3) == 1);
  CHECK(act->options.momentum() == 0.3);

  (void)groups.freeze({true, false}, {});
  groups.train();
  CHECK_FALSE(act->is_training());
  CHECK_FALSE(own->is_training());
  CHECK(act->drop->is_training());  // the norm is held, not what it holds
  (void)act->forward(at::randn({8, 4}));
  CHECK(act->running_mean.equal(at::zeros({4})));
}

TEST_CASE("a null model is an error that says so, however groups are made") {
  const TinyNet empty{nullptr};
  const std::shared_ptr<torch::nn::Module> null;
  const auto is_said = ContainsSubstring("model: it is null");
  CHECK_THROWS_WITH(LayerGroups::cut_before(empty, {"head"}), is_said);
  CHECK_THROWS_WITH(LayerGroups::cut_before(null, {"head"}), is_said);
  CHECK_THROWS_WITH(LayerGroups::cut_at(null, {1}), is_said);
  CHECK_THROWS_WITH(LayerGroups::per_child(null), is_said);
  CHECK_THROWS_WITH(LayerGroups::of_modules(null, {}), is_said);
  CHECK_THROWS_WITH(LayerGroups::matching(null, {}), is_said);
  TinyNet net;
  CHECK_THROWS_WITH(LayerGroups::per_child(net).rebind(null), is_said);
  CHECK_THROWS_AS(LayerGroups::per_child(empty), thaw::ConfigError);
}
