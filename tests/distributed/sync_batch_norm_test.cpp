#include <thaw/distributed/sync_batch_norm.hpp>

#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/serialize.h>

#include <ATen/ops/allclose.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/randn.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <map>
#include <string>

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
  const at::Tensor input = at::randn({6, 3, 4, 4}).requires_grad_();
  const auto run = [&] {
    torch::nn::BatchNorm2d norm(3);
    const at::Tensor output = norm->forward(input);
    return at::cat(std::vector<at::Tensor>{output.flatten(), norm->running_mean, norm->running_var,
                                           torch::autograd::grad({output.pow(3).sum()}, {input})[0].flatten()});
  };
  const at::Tensor plain = run();
  const SyncBatchNorm sync{Processes()};
  CHECK(run().equal(plain));
}
