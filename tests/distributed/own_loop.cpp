// SPDX-License-Identifier: BSD-3-Clause
// A training loop of one's own in several processes, for tests: a frozen body, then thawed, one-cycle, two batches
// accumulated, clipped; batches that do not divide by the number of processes, the last one smaller than that.
//   own_loop <file for the weights> [die <rank> <step> | hang <rank> <step>] [--timeout <ms>]

#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/utils/clip_grad.h>
#include <torch/serialize.h>

#include <ATen/Parallel.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <string>
#include <thaw/data/in_memory.hpp>
#include <thaw/distributed/gradient_mean.hpp>
#include <thaw/groups/freeze.hpp>
#include <thaw/groups/freeze_policy.hpp>
#include <thaw/groups/optimizer_groups.hpp>
#include <thaw/groups/rates.hpp>
#include <thaw/optim/adamw.hpp>
#include <thaw/schedule/one_cycle.hpp>
#include <thread>

int main(int argc, char** argv) try {
  const std::string fault = argc > 2 ? argv[2] : "";
  const std::int64_t fault_rank = argc > 3 ? std::stoll(argv[3]) : -1, fault_step = argc > 4 ? std::stoll(argv[4]) : -1;
  const std::chrono::milliseconds timeout(argc > 5 ? std::stoll(argv[5]) : 60'000);
  at::set_num_threads(1);
  const auto processes = thaw::distributed::init(thaw::distributed::environment(), {.timeout = timeout});

  at::manual_seed(1);
  const thaw::InMemory data({.input = at::randn({33, 6}, at::kDouble),
                             .target = at::randint(3, {33}, at::kLong),
                             .batch_size = 10,
                             .shuffle = true,
                             .seed = 7});
  at::manual_seed(10 + static_cast<std::uint64_t>(processes.rank()));  // so that weights must come from rank 0
  torch::nn::Sequential model(torch::nn::Linear(6, 8), torch::nn::BatchNorm1d(8), torch::nn::Linear(8, 8),
                              torch::nn::Linear(8, 3));
  model->to(at::kDouble);
  auto groups = thaw::LayerGroups::cut_before(model, {"2", "3"});
  processes.broadcast(groups);
  thaw::AdamW optimizer{groups};
  const thaw::OptimizerGroups rates{optimizer, groups};
  const auto peak = thaw::DiscriminativeLR::slice(1e-3, 1e-1)(groups.size());
  thaw::distributed::GradientMean mean(processes, groups);

  const std::int64_t epochs = 6, per_epoch = 2, total = epochs * per_epoch;
  std::int64_t step = 0, sent = -1;
  for (std::int64_t epoch = 0; epoch < epochs; ++epoch) {
    thaw::apply(thaw::FreezeTo{epoch < 2 ? -1 : epoch < 4 ? 1 : 0}, groups, thaw::hold_everywhere);
    groups.train();
    thaw::BatchStream next = data.stream(epoch);
    for (std::int64_t i = 0; i < per_epoch; ++i, ++step) {
      rates.set(thaw::OneCycle{}(static_cast<double>(step) / static_cast<double>(total)), peak);
      if (processes.rank() == fault_rank && step == fault_step) {
        if (fault == "die") std::raise(SIGKILL);
        std::this_thread::sleep_for(std::chrono::seconds(600));  // until somebody ends it
      }
      for (int j = 0; j < 2; ++j) {
        const auto [batch, weight] = processes.share(*next());
        if (j == 1) mean.next_backward();
        const at::Tensor output = model->forward(batch.input[0]);
        (at::cross_entropy_loss(output, batch.target[0]) * (weight / 2)).backward();
      }
      if (mean.numel() != sent) fmt::print("step {}: gradients of {} numbers\n", step, sent = mean.numel());
      torch::nn::utils::clip_grad_norm_(model->parameters(), 0.5);
      optimizer.step(), optimizer.zero_grad();
    }
  }
  const at::Tensor everyone = processes.gather(at::full({processes.rank() + 1}, processes.rank(), at::kLong));
  if (processes.rank() == 0) {
    std::vector<at::Tensor> all = model->parameters();
    all.push_back(everyone);
    torch::save(all, argv[1]);
  }
  processes.barrier();
  fmt::print("rank {} of {}: done\n", processes.rank(), processes.size());
} catch (const std::exception& error) {
  fmt::print(stderr, "{}\n", error.what());
  std::fflush(stderr), std::_Exit(1);  // a process group whose peers are gone may wait for them in its destructor
}
