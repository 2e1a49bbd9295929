// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/groups/script_module.hpp>

#include <torch/csrc/jit/serialization/import.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/sgd.h>

#include <ATen/ops/arange.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/tensor.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <sstream>
#include <thaw/groups/freeze.hpp>

#include "support/data.hpp"
#include "support/groups.hpp"
#include "support/nets.hpp"

using Catch::Matchers::ContainsSubstring;
using thaw::LayerGroups;
using thaw::Norm;
using thaw::ScriptModule;
using thaw::test::any_starts_with;
using thaw::test::changed;
using thaw::test::state_of;
using Strings = std::vector<std::string>;

namespace {

struct Warnings : c10::WarningHandler {
  void process(const c10::Warning& warning) override { said.push_back(warning.msg()); }
  Strings said;
};

ScriptModule load(const std::string& name, Warnings* warnings = nullptr) {
  Warnings ignored;
  const c10::WarningUtils::WarningHandlerGuard guard(warnings ? warnings : &ignored);
  return ScriptModule(torch::jit::load(thaw::test::fixture("groups/" + name).string()));
}

at::Tensor input() {
  return at::arange(64, at::kDouble).mul(0.7).sin().reshape({2, 2, 4, 4}).to(at::kFloat);
}

bool is_output(const at::Tensor& found, const char* mode) {
  static const auto expected = thaw::test::json_fixture("groups/script.json");
  std::vector<double> values;
  for (const auto& row : expected[mode])
    for (const double value : row) values.push_back(value);
  return at::allclose(found.to(at::kDouble).flatten(), at::tensor(values, at::kDouble), 1e-4, 1e-6);
}

void train_steps(ScriptModule& net, LayerGroups& groups, int steps) {
  torch::optim::SGD optimizer(net->parameters(), torch::optim::SGDOptions(0.1).momentum(0.9).weight_decay(0.1));
  for (int i = 0; i < steps; ++i) {
    groups.train();
    optimizer.zero_grad();
    at::cross_entropy_loss(net->forward(input()), at::arange(2)).backward();
    optimizer.step();
  }
}

/// What the script module itself holds, by name.
std::map<std::string, at::Tensor> script_state(const ScriptModule& net) {
  std::map<std::string, at::Tensor> state;
  for (const auto& entry : net->script().named_parameters()) state[entry.name] = entry.value;
  for (const auto& entry : net->script().named_buffers()) state[entry.name] = entry.value;
  return state;
}

torch::jit::Module define(const std::string& forward) {
  torch::jit::Module module("Defined");
  module.define(forward);
  return module;
}

}  // namespace

TEST_CASE("a script module gives Python's outputs, and has Python's names") {
  const auto expected = thaw::test::json_fixture("groups/script.json");
  for (const char* file : {"scripted.pt", "traced_eval.pt"}) {
    ScriptModule net = load(file);
    net->eval();
    CHECK(is_output(net->forward(input()), "eval"));
    std::vector<std::string> names;
    for (const auto& [name, tensor] : state_of(*net)) names.push_back(name);
    std::vector<std::string> python = expected["state"];
    std::ranges::sort(python);
    CHECK(names == python);
  }
  ScriptModule net = load("scripted.pt");
  net->train();
  CHECK(is_output(net->forward(input()), "train"));
}

TEST_CASE("a script module and its mirror hold the same tensors, after to() as well") {
  ScriptModule net = load("scripted.pt");
  const auto same = [&] {
    const auto script = script_state(net);
    std::size_t found = 0;
    for (const auto& entry : net->named_parameters()) found += script.at(entry.key()).is_same(entry.value());
    for (const auto& entry : net->named_buffers()) found += script.at(entry.key()).is_same(entry.value());
    return found == script.size();
  };
  CHECK(same());
  CHECK(net->named_parameters()["fc.weight"].requires_grad());
  net->to(at::kDouble);
  CHECK(same());
  net->eval();
  const at::Tensor output = net->forward(input().to(at::kDouble));
  CHECK(output.scalar_type() == at::kDouble);
  CHECK(is_output(output, "eval"));
}

TEST_CASE("train() and eval() of any mirror set that script submodule's own mode") {
  ScriptModule net = load("scripted.pt");
  net->train();
  const auto norm = net->named_modules()["stem.1"];
  norm->eval();
  CHECK_FALSE(norm->is_training());
  CHECK(net->is_training());
  const auto script = net->script().attr("stem").toModule();
  CHECK(script.is_training());
  CHECK_FALSE(script.attr("1").toModule().is_training());
  net->train();
  CHECK(script.attr("1").toModule().is_training());
  net->eval();
  CHECK_FALSE(net->script().is_training());
}

TEST_CASE("groups, freezing and norm rules take a scripted module like any other") {
  for (const Norm rule : {Norm::hold, Norm::track, Norm::train}) {
    ScriptModule net = load("scripted.pt");
    auto groups = LayerGroups::cut_before(net, {"norm", "fc"});
    thaw::test::check_partition(groups);
    CHECK(groups[0].norms.size() == 1);
    CHECK(groups[1].norms.size() == 1);
    thaw::apply(thaw::FreezeTo{2}, groups, {.frozen = rule});
    const auto before = state_of(*net);
    train_steps(net, groups, 3);
    const auto moved = changed(before, *net);
    CHECK_FALSE(any_starts_with(moved, "stem.0"));
    CHECK(any_starts_with(moved, "fc.weight"));
    for (const char* layer : {"stem.1", "norm"}) {
      CAPTURE(layer);
      CHECK(any_starts_with(moved, std::string(layer) + ".running_mean") == (rule != Norm::hold));
      CHECK(any_starts_with(moved, std::string(layer) + ".weight") == (rule == Norm::train));
    }
    thaw::apply(thaw::Unfrozen{}, groups);
    train_steps(net, groups, 2);
    CHECK(any_starts_with(changed(before, *net), "stem.0"));
  }
}

TEST_CASE("a module traced in eval mode trains, with its norm layers held for good") {
  Warnings warnings;
  ScriptModule net = load("traced_eval.pt", &warnings);
  CHECK(warnings.said.empty());
  CHECK(net->norms_stuck_in_training().empty());
  auto groups = LayerGroups::cut_before(net, {"fc"});
  const auto before = state_of(*net);
  train_steps(net, groups, 2);
  const auto moved = changed(before, *net);
  CHECK(any_starts_with(moved, "stem.1.weight"));
  CHECK_FALSE(any_starts_with(moved, "stem.1.running_mean"));
}

TEST_CASE("trap 7: norm layers traced in training mode move after eval(); they are found, and one warning names them") {
  Warnings warnings;
  ScriptModule net = load("traced_train.pt", &warnings);
  CHECK(net->norms_stuck_in_training() == Strings{"stem.1", "norm"});
  REQUIRE(warnings.said.size() == 1);
  CHECK_THAT(warnings.said[0], ContainsSubstring("2 norm layers from moving: stem.1, norm") &&
                                   ContainsSubstring("fix: in Python, call model.eval() before torch.jit.trace"));
  net->eval();
  const auto before = state_of(*net);
  CHECK(is_output(net->forward(input()), "train"));
  CHECK(any_starts_with(changed(before, *net), "stem.1.running_mean"));  // LibTorch's trap, shown

  CHECK(load("scripted.pt", &warnings)->norms_stuck_in_training().empty());
  CHECK(warnings.said.size() == 1);
}

TEST_CASE("a norm layer whose mode the author asks for is not stuck") {
  torch::jit::Module module("Asks");
  module.register_attribute("training", c10::BoolType::get(), true);
  module.register_buffer("running_mean", at::zeros({3}));
  module.register_buffer("running_var", at::ones({3}));
  const auto norm = [](const char* training) {
    return std::string("torch.batch_norm(x, None, None, self.running_mean, self.running_var, ") + training +
           ", 0.1, 1e-5, False)\n";
  };
  module.define("def forward(self, x):\n  if self.training:\n    y = " + norm("True") +
                "  else:\n    y = " + norm("False") + "  return y\n");
  CHECK(ScriptModule(module)->norms_stuck_in_training().empty());
}

TEST_CASE("a clone of a script module is its own, and keeps requires_grad") {
  ScriptModule net = load("scripted.pt");
  auto groups = LayerGroups::cut_before(net, {"fc"});
  thaw::apply(thaw::FreezeTo{1}, groups);
  const ScriptModule clone(std::dynamic_pointer_cast<thaw::ScriptModuleImpl>(net->clone()));
  CHECK_FALSE(clone->named_parameters()["stem.0.weight"].requires_grad());
  CHECK(clone->named_parameters()["fc.weight"].requires_grad());
  CHECK(clone->named_parameters()["fc.weight"].is_leaf());
  CHECK(groups.rebind(clone).size() == 2);
  const auto before = state_of(*net);
  CHECK(thaw::test::same_state(before, *clone));
  {
    const at::NoGradGuard no_grad;
    clone->named_parameters()["fc.weight"].zero_();
  }
  CHECK(thaw::test::same_state(before, *net));
  Warnings warnings;
  const c10::WarningUtils::WarningHandlerGuard guard(&warnings);
  (void)load("traced_train.pt")->clone();
  CHECK(warnings.said.empty());
}

TEST_CASE("a script module is part of a Sequential, and of several inputs; what is tuned goes back to Python") {
  ScriptModule body = load("scripted.pt");
  torch::nn::Sequential net(body, torch::nn::Linear(2, 4));
  net->eval();
  CHECK(net->forward(input()).sizes() == at::IntArrayRef{2, 4});
  CHECK(LayerGroups::cut_before(net, {"0.fc", "1"}).size() == 3);

  ScriptModule sum(define("def forward(self, a, b):\n  return a + b\n"));
  CHECK(sum->run({at::ones({2}), at::ones({2})}).sum().item<double>() == 4);

  {
    const at::NoGradGuard no_grad;
    body->named_parameters()["fc.weight"].zero_();
  }
  std::stringstream file;
  body->script().save(file);
  const ScriptModule again(torch::jit::load(file));
  CHECK(thaw::test::same_state(state_of(*body), *again));
}

TEST_CASE("the weight of a layer norm from Python does not decay, whatever its dimensions") {
  torch::jit::Module layer("LayerNorm"), net("Net");
  layer.register_parameter("weight", at::ones({2, 3}), false);
  layer.register_parameter("bias", at::zeros({2, 3}), false);
  net.register_module("norm", layer);
  net.register_parameter("weight", at::ones({3, 2}), false);
  net.define("def forward(self, x):\n  return torch.layer_norm(x, [2, 3], self.norm.weight, self.norm.bias)\n");
  const auto groups = LayerGroups::per_child(ScriptModule(net));
  for (const auto& parameter : groups[0].parameters) CHECK(parameter.decays == (parameter.name == "weight"));
}

TEST_CASE("a submodule that is used under two names has one mirror") {
  torch::jit::Module layer("Layer"), net("Net");
  layer.register_parameter("weight", at::ones({2}), false);
  net.register_module("a", layer);
  net.register_module("b", layer);
  net.define("def forward(self, x):\n  return x * self.a.weight * self.b.weight\n");
  const ScriptModule twice(net);
  CHECK(twice->children()[0] == twice->children()[1]);
  const auto groups = LayerGroups::per_child(twice);
  thaw::test::check_partition(groups);
  CHECK(groups.size() == 1);
}

TEST_CASE("a module without forward, and outputs that are no tensor, are errors that say how to export") {
  CHECK_THROWS_WITH(ScriptModule(torch::jit::Module("Empty")), ContainsSubstring("has no `forward`"));
  ScriptModule pair(define("def forward(self, x):\n  return x, x\n"));
  CHECK_THROWS_WITH(pair->forward(at::ones({2})), ContainsSubstring("returned a Tuple, not a tensor"));
}

TEST_CASE("the momentum of a scripted or traced norm layer cannot be set: that is said, with its name") {
  for (const char* file : {"scripted.pt", "traced_eval.pt"}) {
    ScriptModule body = load(file);
    torch::nn::Sequential net(torch::nn::BatchNorm2d(2), body);
    CHECK_THROWS_WITH(thaw::set_norm_momentum(*net, 0.5),
                      ContainsSubstring("set_norm_momentum: the momentum of TorchScript's norm layers is a constant of "
                                        "their program: 1.stem.1, 1.norm") &&
                          ContainsSubstring("in Python"));
    CHECK(thaw::norm_momentum(*net[0]) == 0.1);
  }
  ScriptModule none(define("def forward(self, x):\n  return x\n"));
  CHECK(thaw::set_norm_momentum(*none, 0.5) == 0);
}

TEST_CASE("norm layers that were traced in evaluation mode are known not to move") {
  const auto moves = [](const char* file) {
    const ScriptModule net = load(file);
    const auto layer = net->named_modules()["norm"];
    return std::dynamic_pointer_cast<thaw::detail::ScriptLayer>(layer)->moves_statistics();
  };
  CHECK(moves("scripted.pt"));
  CHECK_FALSE(moves("traced_eval.pt"));
}

TEST_CASE("a norm layer from Python that holds its activation is one") {
  torch::jit::Module layer("BatchNormAct"), act("Identity"), net("Net");
  layer.register_parameter("weight", at::ones({3}), false);
  layer.register_buffer("running_mean", at::zeros({3}));
  layer.register_buffer("running_var", at::ones({3}));
  layer.register_module("act", act);
  net.register_module("norm", layer);
  net.define("def forward(self, x):\n  return x * self.norm.weight\n");
  CHECK(LayerGroups::per_child(ScriptModule(net))[0].norms.size() == 1);
}
