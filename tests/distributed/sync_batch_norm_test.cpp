// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/distributed/sync_batch_norm.hpp>

#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>
#include <torch/serialize.h>

#include <ATen/ThreadLocalState.h>
#include <ATen/autocast_mode.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/dropout.h>
#include <ATen/ops/max_pool2d.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/relu.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <map>
#include <string>
#include <thread>

#include "distributed/spawn.hpp"

using Catch::Matchers::ContainsSubstring;
using thaw::distributed::Processes;
using thaw::distributed::SyncBatchNorm;
using thaw::test::Ended;
using thaw::test::Folder;
using thaw::test::in_processes;

namespace {

struct Results {
  std::map<std::string, at::Tensor> by_name;
  std::vector<Ended> ended;
};

const Results& of(int size) {
  static std::map<int, Results> known;
  const auto [place, is_new] = known.try_emplace(size);
  Results& results = place->second;
  if (!is_new) return results;
  const Folder folder;
  const std::string file = folder / "results";
  results.ended = in_processes(size, {THAW_BATCH_NORM, file});
  for (const Ended& each : results.ended)
    if (!each.well()) return results;
  torch::serialize::InputArchive archive;
  archive.load_from(file);
  for (const std::string& name : archive.keys()) archive.read(name, results.by_name[name]);
  return results;
}

double furthest(const at::Tensor& a, const at::Tensor& b) {
  REQUIRE(a.sizes() == b.sizes());
  return (a - b).abs().max().item<double>();
}

bool starts(const std::string& name, const char* with) {
  return name.rfind(with, 0) == 0;
}

}  // namespace

TEST_CASE("batch norm in two and three processes, on uneven parts, is that of one on all samples") {
  const Results& alone = of(1);
  REQUIRE(alone.by_name.size() > 200);
  for (const int size : {2, 3}) {
    const Results& together = of(size);
    for (const Ended& each : together.ended) {
      INFO(each.said);
      REQUIRE(each.well());
      CHECK_THAT(each.said, ContainsSubstring("of " + std::to_string(size) + ": done"));
    }
    REQUIRE(together.by_name.size() == alone.by_name.size());
    for (const auto& [name, expected] : alone.by_name) {
      if (starts(name, "float") || starts(name, "bfloat16") || starts(name, "far")) continue;
      INFO(size << " processes; " << name);
      CHECK(furthest(together.by_name.at(name), expected) < 1e-12);  // in double: sums in another order
    }
  }
}

TEST_CASE("bfloat16 stays bfloat16, and is computed in float") {
  for (const int size : {2, 3}) {
    const auto& results = of(size).by_name;
    CHECK(furthest(results.at("float: output"), of(1).by_name.at("float: output")) < 1e-5);
    CHECK(furthest(results.at("float: d input"), of(1).by_name.at("float: d input")) < 1e-5);
    for (const std::string name : {"bfloat16", "bfloat16 in float"})
      for (const std::string what : {": output", ": d input"}) {
        INFO(size << " processes; " << name << what);
        const at::Tensor& value = results.at(name + what);
        CHECK(value.scalar_type() == at::kBFloat16);
        CHECK(at::allclose(value.to(at::kFloat), results.at("float" + what), 0.005, 1e-4));  // rounded once or twice
      }
    CHECK(results.at("bfloat16: running_mean").scalar_type() == at::kBFloat16);
    CHECK(furthest(results.at("bfloat16 in float: running_mean"), results.at("float: running_mean")) < 1e-6);
  }
}

TEST_CASE("the variance of values that are far from 0 is that of one process") {
  for (const int size : {2, 3})
    CHECK(furthest(of(size).by_name.at("far from 0: running_var"), of(1).by_name.at("far from 0: running_var")) < 1e-6);
}

TEST_CASE("less than two values per channel in all processes together are an error in each, as in LibTorch") {
  for (const int size : {2, 3})
    for (const Ended& each : of(size).ended) {
      INFO(each.said);
      CHECK_THAT(each.said,
                 ContainsSubstring("one value: Expected more than 1 value per channel when training, got 1") &&
                     ContainsSubstring("no value: Expected more than 1 value per channel when training, got 0") &&
                     ContainsSubstring("a value each: no error"));
    }
}

TEST_CASE("a gradient that shall have a gradient itself is an error") {
  for (const Ended& each : of(2).ended)
    CHECK_THAT(each.said, ContainsSubstring("create_graph: SyncBatchNorm: it has no"));
}

TEST_CASE("one process alone has plain batch norm, bit for bit, and other layers notice nothing") {
  at::manual_seed(3);
  torch::nn::Conv2d conv(3, 4, 3);
  torch::nn::BatchNorm2d norm(4);
  torch::nn::Linear linear(4, 4);
  torch::nn::LayerNorm layer_norm(std::vector<std::int64_t>{4});
  const at::Tensor input = at::randn({6, 3, 5, 5}), target = at::randint(4, {6}, at::kLong);
  const auto run = [&](bool autocast) {
    at::manual_seed(4);
    norm->reset_running_stats();
    at::autocast::set_autocast_enabled(at::kCPU, autocast);
    const at::Tensor body = at::max_pool2d(at::relu(norm(conv(input))), 2).flatten(2).mean(2);
    const at::Tensor output = layer_norm(at::dropout(linear(body), 0.4, true));
    at::autocast::set_autocast_enabled(at::kCPU, false);
    const at::Tensor loss = at::cross_entropy_loss(output.to(at::kFloat), target);
    const auto gradients = torch::autograd::grad({loss}, {conv->weight, norm->weight, linear->weight});
    std::vector<at::Tensor> all{loss.view(1), norm->running_mean, norm->running_var};
    for (const at::Tensor& each : gradients) all.push_back(each.flatten());
    return at::cat(all);
  };
  for (const bool autocast : {false, true}) {
    const at::Tensor plain = run(autocast);
    const SyncBatchNorm sync{Processes()};
    CHECK(run(autocast).equal(plain));
  }
}

TEST_CASE("a thread that was given the state of another one's autograd has plain batch norm") {
  const at::Tensor input = at::randn({6, 3}), expected = torch::nn::BatchNorm1d(3)(input);
  const SyncBatchNorm sync{Processes()};
  at::Tensor output;
  std::thread([&, state = at::ThreadLocalState()] {
    const at::ThreadLocalStateGuard guard(state);
    output = torch::nn::BatchNorm1d(3)(input);
  }).join();
  CHECK(output.equal(expected));
}
