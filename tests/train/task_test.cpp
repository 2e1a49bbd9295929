// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/train/detail/task.hpp>

#include <ATen/ops/mse_loss.h>
#include <torch/nn/pimpl.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <map>

#include "support/bench.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

namespace {

struct Views {
  at::Tensor left, right;
};
struct Answer {
  at::Tensor score, angle;
};

/// One linear layer over two inputs, in every form that a model may have.
struct Base : torch::nn::Module {
  Base() {
    layer = register_module("layer", torch::nn::Linear(4, 2));
    for (at::Tensor& parameter : parameters()) parameter.set_data(parameter.to(at::kDouble));
  }
  at::Tensor run(const at::Tensor& a, const at::Tensor& b) { return layer->forward(at::cat({a, b}, 1)); }
  torch::nn::Linear layer{nullptr};
};
struct TwoTensorsImpl : Base {
  at::Tensor forward(const at::Tensor& a, at::Tensor b) { return run(a, b); }
};
TORCH_MODULE(TwoTensors);
struct OneStruct : Base {
  Answer forward(const Views& views) {
    const at::Tensor y = run(views.left, views.right);
    return {y.select(1, 0), y.select(1, 1)};
  }
};
struct OneDictionary : Base {
  at::Tensor forward(const std::map<std::string, at::Tensor>& in) { return run(in.at("left"), in.at("right")); }
};
struct OneVector : Base {
  std::tuple<at::Tensor, at::Tensor> forward(std::vector<at::Tensor> in) {
    const at::Tensor y = run(in[0], in[1]);
    return {y.select(1, 0), y.select(1, 1)};
  }
};

struct Data {
  Data() {
    at::manual_seed(3);
    a = at::randn({12, 2}, at::kDouble), b = at::randn({12, 2}, at::kDouble), score = a.sum(1), angle = b.sum(1);
  }
  at::Tensor a, b, score, angle;
};

at::Tensor together(const Answer& answer, const Answer& target) {
  return at::mse_loss(answer.score, target.score) + at::mse_loss(answer.angle, target.angle);
}
at::Tensor stacked(const at::Tensor& output, const at::Tensor& target) {
  return 2 * at::mse_loss(output, target);
}

template <class Model, class Loss>
std::vector<double> trained(Model model, Loss loss, thaw::DataSource data) {
  at::manual_seed(1);
  for (at::Tensor& p : model->parameters()) p.data().normal_(0, 0.5);
  thaw::Learner learner{model, thaw::LayerGroups::cut_before(model, {}), loss, {.train = data, .valid = data}};
  learner.fit({.epochs = 3, .lr = 0.05});
  std::vector<double> losses;
  for (const auto& step : learner.history().steps) losses.push_back(step.loss);
  losses.push_back(learner.validate().loss);
  return losses;
}

bool alike(const std::vector<double>& a, const std::vector<double>& b) {
  return std::ranges::equal(a, b, [](double x, double y) { return std::abs(x - y) < 1e-10 * y; });
}

}  // namespace

TEST_CASE("forward takes several tensors, a struct, a dictionary or a vector; losses take tensors or structs") {
  const Data d;
  const at::Tensor both = at::stack({d.score, d.angle}, 1);
  struct Sample {
    at::Tensor left, right;
    Answer target;
  };
  const auto expected = trained(TwoTensors(), stacked, std::vector{std::tuple{d.a, d.b, both}});
  CHECK(expected.back() < 0.9 * expected.front());
  CHECK(alike(trained(std::make_shared<OneStruct>(), together, std::vector{Sample{d.a, d.b, {d.score, d.angle}}}),
              expected));
  CHECK(alike(trained(std::make_shared<OneDictionary>(), stacked,
                      std::vector{std::map<std::string, at::Tensor>{{"left", d.a}, {"right", d.b}, {"labels", both}}}),
              expected));
  CHECK(alike(trained(
                  std::make_shared<OneVector>(),
                  [](const std::pair<at::Tensor, at::Tensor>& output, const Answer& target) {
                    return together({output.first, output.second}, target);
                  },
                  thaw::InMemory({.input = Views{d.a, d.b}, .target = Answer{d.score, d.angle}, .batch_size = 12})),
              expected));
  struct Own {
    int id;
    at::Tensor all;
  };
  CHECK(alike(trained(TwoTensors(), stacked,
                      thaw::DataSource::from(std::vector{Own{1, at::cat({d.a, d.b, both}, 1)}},
                                             [](const Own& own) {
                                               const auto parts = own.all.split(2, 1);
                                               return thaw::Batch{std::vector{parts[0], parts[1]}, parts[2]};
                                             })),
              expected));
}

TEST_CASE("outputs of several tensors can be had; what wants one says so") {
  const Data d;
  const auto model = std::make_shared<OneStruct>();
  thaw::Learner learner{model, thaw::LayerGroups::cut_before(model, {}), together, {}};
  const thaw::InMemory data({.input = Views{d.a, d.b}, .target = Answer{d.score, d.angle}, .batch_size = 5});
  const thaw::Fields all = learner.outputs(thaw::DataSource(data));
  REQUIRE(all.size() == 2);
  CHECK(all[0].size(0) == 12);
  const Answer direct = model->forward({d.a, d.b});
  CHECK(at::allclose(all[1], direct.angle));
  CHECK_THROWS_MATCHES(learner.predict(Views{d.a, d.b}), thaw::DataError,
                       MessageMatches(ContainsSubstring("2 tensors where one is expected")));
}

TEST_CASE("inputs that forward does not take are refused before training") {
  const Data d;
  const auto refuses = [&](auto model, thaw::DataSource data, const std::string& why) {
    thaw::Learner learner{model, thaw::LayerGroups::cut_before(model, {}), stacked, {.train = data}};
    CHECK_THROWS_MATCHES(learner.fit({}), thaw::Error, MessageMatches(ContainsSubstring(why)));
    CHECK(learner.history().stages.empty());
  };
  refuses(TwoTensors(), std::vector{std::pair{d.a, d.score}}, "a batch has 1 inputs, and its forward takes another");
  refuses(TwoTensors(), std::vector{std::map<std::string, at::Tensor>{{"x", d.a}, {"y", d.b}, {"target", d.score}}},
          "a batch is a dictionary of x, y, but forward takes tensors");
  refuses(std::make_shared<OneDictionary>(), std::vector{std::tuple{d.a, d.b, d.score}}, "the tensors have no names");
  refuses(TwoTensors(), std::vector{std::map<std::string, at::Tensor>{{"x", d.a}, {"y", d.b}}},
          "a dictionary with x, y");
}
