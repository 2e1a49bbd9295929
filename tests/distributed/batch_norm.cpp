// SPDX-License-Identifier: BSD-3-Clause
// Batch norms that train in several processes, for tests: all that they compute goes to a file, gathered, by its name.
//   batch_norm <file>

#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/functional/batchnorm.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/functional.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/sgd.h>
#include <torch/serialize.h>

#include <ATen/Parallel.h>
#include <ATen/ops/batch_norm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/relu.h>
#include <fmt/format.h>

#include <cstdlib>
#include <optional>
#include <string>
#include <thaw/distributed/gradient_mean.hpp>
#include <thaw/distributed/sync_batch_norm.hpp>

using thaw::distributed::Processes;
using thaw::distributed::SyncBatchNorm;
using torch::nn::BatchNorm1d;
using torch::nn::BatchNorm2d;
using torch::nn::BatchNormOptions;

namespace {

Processes processes;
torch::serialize::OutputArchive results;

void keep(const std::string& name, const at::Tensor& value) {
  if (processes.rank() == 0) results.write(name, value.detach().clone());
}

/// The rows of `all` that this process has, more in each than in the one before; or, where there is a stand-in, the
/// last process has the first two, which do not count.
struct Part {
  explicit Part(const at::Tensor& all, bool stand_in = false) {
    const std::int64_t n = all.size(0), rank = processes.rank();
    const std::int64_t size = processes.size() - (stand_in && processes.size() > 1 ? 1 : 0);
    counts = rank < size;
    const auto begin = [&](std::int64_t of) { return n * of * (of + 1) / (size * (size + 1)); };
    rows = all.slice(0, counts ? begin(rank) : 0, counts ? begin(rank + 1) : 2);
    weight = counts ? static_cast<double>(rows.size(0) * processes.size()) / static_cast<double>(n) : 0;
  }
  at::Tensor rows;
  bool counts = true;
  double weight = 1;

  [[nodiscard]] at::Tensor gathered(const at::Tensor& each) const {
    return processes.gather(counts ? each.detach() : each.detach().slice(0, 0, 0));
  }
};

/// Two steps forward and back of one layer. The passes back come after the guard.
template <class Norm>
void layer(const std::string& name, Norm norm, const at::Tensor& whole, bool stand_in = false) {
  torch::nn::Sequential model(norm);
  model->to(whole.scalar_type());
  at::manual_seed(5);
  for (at::Tensor& parameter : model->parameters()) parameter.detach().normal_();
  std::optional<thaw::distributed::GradientMean> mean;
  if (!model->parameters().empty()) mean.emplace(processes, thaw::LayerGroups::cut_before(model, {}));
  const Part target(at::randn(whole.sizes(), whole.options()), stand_in);
  for (const int step : {1, 2}) {
    const Part part(whole * step + step, stand_in);
    const at::Tensor input = part.rows.detach().requires_grad_();
    const auto output = [&] {
      const SyncBatchNorm sync(processes, part.counts);
      return model->forward(input);
    }();
    if (mean) mean->next_backward();
    ((output - target.rows).square().mean() * part.weight).backward();
    const std::string at = name + ", step " + std::to_string(step) + ": ";
    keep(at + "output", part.gathered(output));
    keep(at + "d input", part.gathered(input.grad()) / processes.size());
    if (stand_in)  // it has the first two rows
      keep(at + "output of it",
           processes.gather(output.detach().slice(0, 0, processes.rank() + 1 < processes.size() ? 0 : 2)));
    if (!part.counts && input.grad().abs().max().template item<double>() != 0)
      throw std::runtime_error(name + ": a gradient of the stand-in");
    const auto format = output.suggest_memory_format(), of_gradient = input.grad().suggest_memory_format();
    if (format != input.suggest_memory_format() || of_gradient != format)
      throw std::runtime_error(name + ": another memory format");
    for (const auto& parameter : model->named_parameters()) keep(at + "d " + parameter.key(), parameter.value().grad());
    for (const auto& buffer : model->named_buffers())
      if (buffer.value().defined()) keep(at + buffer.key(), buffer.value());
  }
}

/// An own loop; the last of its batches is smaller than three processes.
void net() {
  at::manual_seed(6);
  torch::nn::Sequential model(torch::nn::Conv2d(torch::nn::Conv2dOptions(3, 5, 3)), BatchNorm2d(5),
                              torch::nn::Functional([](const at::Tensor& x) { return at::relu(x); }),
                              torch::nn::Functional([](const at::Tensor& x) { return x.mean({2, 3}); }),
                              torch::nn::Linear(5, 3));
  model->to(at::kDouble);
  torch::optim::SGD optimizer(model->parameters(), torch::optim::SGDOptions(0.2).momentum(0.9));
  thaw::distributed::GradientMean mean(processes, thaw::LayerGroups::cut_before(model, {"1"}));
  for (const std::int64_t n : {7, 8, 4, 2}) {
    const auto [batch, weight] =
        processes.share({.input = at::randn({n, 3, 6, 6}, at::kDouble), .target = at::randint(3, {n}, at::kLong)});
    const SyncBatchNorm sync(processes, weight > 0);
    (void)SyncBatchNorm{Processes()};  // after which the outer one holds again
    mean.next_backward();
    (at::cross_entropy_loss(model->forward(batch.input[0]), batch.target[0]) * weight).backward();
    optimizer.step(), optimizer.zero_grad();
  }
  for (const auto& parameter : model->named_parameters()) keep("net: " + parameter.key(), parameter.value());
  for (const auto& buffer : model->named_buffers()) keep("net: " + buffer.key(), buffer.value());
}

/// A stand-in whose loss does weigh something: it moves the gradients of those that count, through the statistics.
void stand_in_with_a_loss() {
  at::manual_seed(7);
  const at::Tensor whole = at::randn({6, 4}, at::kDouble), target = at::randn({8, 4}, at::kDouble);
  const auto gradient = [&](const at::Tensor& input, const at::Tensor& output, const at::Tensor& wanted) {
    (output - wanted).square().sum().backward();
    return input.grad();
  };
  const at::Tensor counting = whole.clone().requires_grad_(), other = whole.slice(0, 0, 2).clone().requires_grad_();
  const std::string first = "stand-in with a loss: d of those that count", second = "stand-in with a loss: d of it";
  if (processes.size() == 1) {
    const at::Tensor mean = counting.mean(0), deviation = (counting.var(0, false) + 1e-5).sqrt();
    const at::Tensor all = at::cat({counting, other});
    keep(first, gradient(counting, (all - mean) / deviation, target));
    keep(second, other.grad());
    return;
  }
  const std::int64_t rank = processes.rank();
  const at::Tensor input = rank == 0 ? counting : other;
  at::Tensor mine = input.new_empty({0, 4});
  if (rank < 2) {
    const at::Tensor wanted = rank == 0 ? target.slice(0, 0, 6) : target.slice(0, 6);
    const SyncBatchNorm sync(processes, rank == 0);
    mine = gradient(
        input,
        torch::nn::functional::batch_norm(input, {}, {}, torch::nn::functional::BatchNormFuncOptions().training(true)),
        wanted);
  } else {  // a third process takes part, and adds nothing
    const SyncBatchNorm sync(processes, false);
    const at::Tensor output =
        torch::nn::functional::batch_norm(input, {}, {}, torch::nn::functional::BatchNormFuncOptions().training(true));
    (output.sum() * 0).backward();
  }
  const at::Tensor all = processes.gather(mine);
  keep(first, all.slice(0, 0, 6)), keep(second, all.slice(0, 6));
}

void low_precision() {
  at::manual_seed(8);
  const at::Tensor whole = at::randn({9, 4, 5, 5}).add_(20).to(at::kBFloat16);
  const auto run = [&](const std::string& name, const at::Tensor& all, at::ScalarType of_parameters) {
    BatchNorm2d norm(4);
    norm->to(of_parameters);
    const Part part(all);
    const at::Tensor input = part.rows.detach().requires_grad_();
    const SyncBatchNorm sync(processes);
    const at::Tensor output = norm->forward(input);
    (output.to(at::kFloat).pow(3).mean() * part.weight).backward();
    keep(name + ": output", part.gathered(output));
    keep(name + ": d input", part.gathered(input.grad()) / processes.size());
    keep(name + ": running_mean", norm->running_mean);
    if (norm->weight.grad().scalar_type() != of_parameters) throw std::runtime_error("d weight has another type");
  };
  run("float", whole.to(at::kFloat), at::kFloat);
  run("bfloat16 in float", whole, at::kFloat);
  run("bfloat16", whole, at::kBFloat16);
}

void far_from_zero() {
  at::manual_seed(9);
  BatchNorm1d norm(3);
  norm->to(at::kDouble);
  const Part part(at::randn({12, 3}, at::kDouble).add_(1e8));
  const SyncBatchNorm sync(processes);
  const at::NoGradGuard no_grad;
  norm->forward(part.rows);
  keep("far from 0: running_var", norm->running_var);
}

/// What rank 0 does alone here would wait for the others, or be answered by their next sum, if it asked them.
void asks_nobody() {
  if (processes.rank() != 0) return;
  const at::Tensor input = at::randn({3, 4, 2}, at::kDouble).requires_grad_();
  BatchNorm1d norm(4);
  norm->to(at::kDouble);
  const auto train = [&] {
    norm->train(), norm->reset_running_stats();
    const at::Tensor output = norm->forward(input);
    const at::Tensor gradient = torch::autograd::grad({output.pow(3).sum()}, {input})[0];
    return at::cat({output.flatten(), norm->running_mean, norm->running_var, gradient.flatten()});
  };
  const at::Tensor plain = train();
  norm->eval();
  const at::Tensor held = norm->forward(input);
  {
    const SyncBatchNorm sync(processes);
    if (!norm->forward(input).equal(held)) throw std::runtime_error("a held layer is another one under the guard");
    const SyncBatchNorm alone{Processes()};  // the inner one holds
    if (!train().equal(plain)) throw std::runtime_error("one alone has another batch norm");
  }
  if (!train().equal(plain)) throw std::runtime_error("plain batch norm is not back");
}

void errors() {
  const auto said = [](const char* what, const auto& call) {
    try {
      call();
      fmt::print("{}: no error\n", what);
    } catch (const std::exception& error) {
      fmt::print("{}: {}\n", what, thaw::detail::first_line(error));
    }
  };
  const at::Tensor one = at::randn({1, 4}).requires_grad_();
  const auto norm = [&](bool counts) {
    const SyncBatchNorm sync(processes, counts);
    return at::batch_norm(one, {}, {}, {}, {}, /*training=*/true, 0.1, 1e-5, false);
  };
  said("one value", [&] { (void)norm(processes.rank() == 0); });
  said("no value", [&] { (void)norm(false); });
  said("a value each", [&] { (void)norm(true); });
  said("create_graph", [&] {
    const at::Tensor output = norm(true);
    (void)torch::autograd::grad({output.sum()}, {one}, {}, true, /*create_graph=*/true);
  });
}

}  // namespace

int main(int, char** argv) try {
  at::set_num_threads(1);
  processes = thaw::distributed::init(thaw::distributed::environment(), {.timeout = std::chrono::seconds(30)});
  at::manual_seed(1);
  const at::Tensor vectors = at::randn({13, 4}, at::kDouble), sequences = at::randn({13, 4, 5}, at::kDouble);
  const at::Tensor images = at::randn({13, 4, 3, 5}, at::kDouble);
  const at::Tensor channels_last = images.contiguous(at::MemoryFormat::ChannelsLast);
  for (const bool stand_in : {false, true}) {
    const std::string also = stand_in ? " and a stand-in" : "";
    layer("[N, C]" + also, BatchNorm1d(4), vectors, stand_in);
    layer("[N, C, L]" + also, BatchNorm1d(4), sequences, stand_in);
    layer("[N, C, H, W]" + also, BatchNorm2d(4), images, stand_in);
    layer("channels_last" + also, BatchNorm2d(4), channels_last, stand_in);
    layer("not affine" + also, BatchNorm2d(BatchNormOptions(4).affine(false)), images, stand_in);
    layer("no running stats" + also, BatchNorm1d(BatchNormOptions(4).track_running_stats(false)), vectors, stand_in);
    layer("cumulative" + also, BatchNorm1d(BatchNormOptions(4).momentum(std::nullopt)), vectors, stand_in);
  }
  {
    BatchNorm1d norm(BatchNormOptions(4).track_running_stats(false));
    norm->eval();
    layer("no running stats, eval", norm, vectors);
  }
  net();
  stand_in_with_a_loss();
  low_precision();
  far_from_zero();
  asks_nobody();
  errors();
  if (processes.rank() == 0) results.save_to(argv[1]);
  processes.barrier();
  fmt::print("rank {} of {}: done\n", processes.rank(), processes.size());
} catch (const std::exception& error) {
  fmt::print(stderr, "{}\n", error.what());
  std::fflush(stderr), std::_Exit(1);  // a process group whose peers are gone may wait for them in its destructor
}
