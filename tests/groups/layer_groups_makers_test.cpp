#include <torch/nn/modules/instancenorm.h>
#include <torch/nn/modules/normalization.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <thaw/groups/layer_groups.hpp>
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
