// SPDX-License-Identifier: BSD-3-Clause
#include <catch2/catch_test_macros.hpp>
#include <random>
#include <thaw/groups/layer_groups.hpp>

#include "support/groups.hpp"
#include "support/nets.hpp"

using thaw::LayerGroups;
using thaw::test::check_partition;

namespace {

/// A layer that may share its weight with an earlier one.
struct TiedImpl : torch::nn::Module {
  explicit TiedImpl(const at::Tensor& weight) {
    register_parameter("weight", weight);
    register_parameter("bias", at::randn({3}));
  }
};

/// Anything in a row; a Sequential holds no Sequential.
struct BlockImpl : torch::nn::Module {
  void add(std::shared_ptr<torch::nn::Module> child) {
    register_module(std::to_string(children().size()), std::move(child));
  }
};

class RandomNets {
 public:
  explicit RandomNets(unsigned seed) : engine_(seed) {}

  [[nodiscard]] int upto(int n) { return std::uniform_int_distribution<int>(0, n)(engine_); }

  std::shared_ptr<BlockImpl> operator()(int depth = 0) {
    auto net = std::make_shared<BlockImpl>();
    net->add(depth == 0 ? torch::nn::Linear(3, 3).ptr() : layer(depth));
    for (int i = 0, n = 1 + upto(3); i < n; ++i) net->add(layer(depth));
    return net;
  }

 private:
  std::shared_ptr<torch::nn::Module> layer(int depth) {
    switch (upto(depth < 3 ? 7 : 5)) {
      case 0:
        return torch::nn::Linear(3, 3).ptr();
      case 1:
        return torch::nn::BatchNorm1d(3).ptr();
      case 2:
        return torch::nn::BatchNorm1d(torch::nn::BatchNorm1dOptions(3).affine(false)).ptr();
      case 3:
        return torch::nn::ReLU().ptr();
      case 4:
        if (weights_.empty() || upto(1) == 0) weights_.push_back(at::randn({3, 3}));
        return std::make_shared<TiedImpl>(
            weights_[static_cast<std::size_t>(upto(static_cast<int>(weights_.size()) - 1))]);
      case 5:
        return torch::nn::Sequential(torch::nn::Linear(3, 3), torch::nn::BatchNorm1d(3), torch::nn::ReLU()).ptr();
      default:
        return (*this)(depth + 1);
    }
  }

  std::mt19937 engine_;
  std::vector<at::Tensor> weights_;
};

/// Groups by this maker, cut at random; none where a random group has no parameters of its own, or misses some.
std::optional<LayerGroups> random_groups(const std::shared_ptr<BlockImpl>& net, RandomNets& random, int maker) {
  const auto children = net->children();
  const auto child_names = net->named_children().keys();
  const auto modules = net->named_modules("", false).keys();
  std::vector<std::string> cuts;
  std::vector<std::size_t> indices;
  std::vector<std::vector<thaw::ModuleRef>> lists(1);
  std::vector<thaw::NamedPatterns> patterns{{.name = "0", .patterns = {}}};
  for (const std::string& name : modules)
    if (random.upto(4) == 0) cuts.push_back(name);
  for (std::size_t i = 0; i < children.size(); ++i) {
    if (i > 0 && random.upto(2) == 0) {
      indices.push_back(i);
      lists.emplace_back();
      patterns.push_back({.name = child_names[i], .patterns = {}});
    }
    lists.back().emplace_back(children[i]);
    if (!children[i]->parameters().empty() || !children[i]->buffers().empty())
      patterns.back().patterns.emplace_back(child_names[i] + ".*");
  }
  try {
    switch (maker) {
      case 0:
        return LayerGroups::cut_before(net, cuts);
      case 1:
        return LayerGroups::cut_at(net, indices);
      case 2:
        return LayerGroups::of_modules(net, lists);
      case 3:
        return LayerGroups::matching(net, patterns);
      default:
        return LayerGroups::per_child(net);
    }
  } catch (const thaw::ConfigError& error) {
    CAPTURE(error.what());
    REQUIRE(error.problem().find("has no parameters of its own") != std::string::npos);
    return std::nullopt;
  }
}

}  // namespace

TEST_CASE("over random nets, every maker's groups are disjoint, complete and ordered") {
  std::array<int, 5> made{};
  for (unsigned seed = 0; seed < 200; ++seed) {
    RandomNets random(seed);
    const auto net = random();
    for (int maker = 0; maker < 5; ++maker) {
      CAPTURE(seed, maker);
      const auto groups = random_groups(net, random, maker);
      if (maker == 4) REQUIRE(groups.has_value());
      if (!groups) continue;
      check_partition(*groups);
      ++made[static_cast<std::size_t>(maker)];
    }
  }
  for (const int n : made) CHECK(n > 30);
}
