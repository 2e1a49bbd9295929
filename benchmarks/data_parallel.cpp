// SPDX-License-Identifier: BSD-3-Clause
// Gradients are sent while backward still runs: what a backward pass of several processes takes, next to backward alone
// and sending alone. Their batch is as large as makes these two take as long as each other.
//
//   torchrun --no-python --nproc-per-node 2 build/bench/benchmarks/data_parallel
//
// tools/several_hosts.sh starts it on two machines of its own making, over a link whose speed it knows. On one machine
// sending is work of the same processors, and less is gained. Each time is that of the slowest process, on one thread.

#include "bench.hpp"

#include <ATen/Parallel.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>
#include <torch/csrc/distributed/c10d/Work.hpp>
#include <torch/csrc/distributed/c10d/reducer.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <exception>
#include <functional>
#include <thaw/distributed/gradient_mean.hpp>
#include <thaw/distributed/processes.hpp>
#include <vector>

namespace {

constexpr std::int64_t layers = 12, width = 1448;  // 8 MiB each, so that the last bucket is a fourth of all

/// As many numbers as there are gradients, in the buckets in which c10d's Reducer sends them.
std::vector<at::Tensor> buckets_of(std::vector<at::Tensor> parameters) {
  std::ranges::reverse(parameters);  // the last layers' gradients are ready first
  const auto [buckets, limits] = c10d::compute_bucket_assignment_by_size(
      parameters, {c10d::kDefaultFirstBucketBytes, c10d::kDefaultBucketBytesCap});
  std::vector<at::Tensor> result;
  for (const std::vector<std::size_t>& bucket : buckets) {
    std::int64_t numel = 0;
    for (const std::size_t i : bucket) numel += parameters[i].numel();
    result.push_back(at::zeros({numel}));
  }
  return result;
}

void run(const bench::Arguments& arguments, const thaw::distributed::Processes& processes) {
  at::manual_seed(1);
  torch::nn::Sequential model;
  for (std::int64_t i = 0; i < layers; ++i) model->push_back(torch::nn::Linear(width, width));
  const auto groups = thaw::LayerGroups::cut_before(model, {"1"});
  thaw::distributed::GradientMean mean(processes, groups);
  std::vector<at::Tensor> buckets = buckets_of(model->parameters());

  at::Tensor loss;  // of one forward pass, from which all go back
  const auto forward = [&](std::int64_t samples) {
    loss = model->forward(at::randn({samples, width})).square().mean();
  };
  const auto backward = [&] {
    model->zero_grad();
    loss.backward({}, /*retain_graph=*/true);
    processes.barrier();
  };
  const auto send = [&] {
    std::vector<c10::intrusive_ptr<c10d::Work>> sent;
    for (at::Tensor& bucket : buckets) {
      std::vector<at::Tensor> one{bucket};
      sent.push_back(processes.group()->allreduce(one));
    }
    for (const auto& each : sent) each->wait();
    processes.barrier();
  };
  const auto both = [&] {
    mean.next_backward();
    backward();
  };

  std::int64_t samples = 256;
  forward(samples);
  for (int i = 0; i < 2; ++i) both();  // so that the Reducer has its buckets
  for (int i = 0; i < 2; ++i) {
    const std::vector<double> seconds = bench::least(3, {backward, send});
    at::Tensor ratio = at::full({}, seconds[1] / seconds[0]);
    processes.broadcast({ratio});
    samples = std::clamp(std::lround(ratio.item<double>() * static_cast<double>(samples)), 16L, 4096L);
    forward(samples);
  }

  const std::vector<double> seconds = bench::least(arguments.quick ? 5 : 15, {backward, send, both});
  const double sum = seconds[0] + seconds[1];
  if (processes.rank() != 0) return;
  fmt::print("{} processes, {} samples each, {:.1f} million gradients in {} buckets\n", processes.size(), samples,
             1e-6 * static_cast<double>(mean.numel()), buckets.size());
  bench::Report report;
  report.add(fmt::format("both, to {:.3f} backward + {:.3f} sending", seconds[0], seconds[1]), seconds[2], sum, "s",
             bench::Target::at_most, 0.9);
  report.finish(arguments);
}

}  // namespace

int main(int argc, char** argv) try {
  at::set_num_threads(1);
  const bench::Arguments arguments(argc, argv);
  const auto processes = thaw::distributed::init();
  if (processes.size() == 1) {
    fmt::print(stderr, "start it by torchrun --no-python --nproc-per-node 2\n");
    return 2;
  }
  run(arguments, processes);
} catch (const std::exception& error) {
  fmt::print(stderr, "{}\n", error.what());
  return 1;
}
