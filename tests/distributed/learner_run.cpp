// SPDX-License-Identifier: BSD-3-Clause
// A Learner in several processes, for tests.
//   learner_run <case> <folder> [<rank> <step> [<fault>]]
//   learner_run compare <result> <result>
// What a case gives is written to <folder>/result-<rank>; each process says "done" at its end. THAW_TIMEOUT is in
// seconds how long one waits for another, 60 by default. THAW_TEST_DEVICE=accelerator trains on the simulated one.

#include <torch/data/dataloader.h>
#include <torch/data/datasets/map.h>
#include <torch/data/samplers/random.h>
#include <torch/data/transforms/stack.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/linear.h>
#include <torch/serialize.h>

#include <ATen/Parallel.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thaw/checkpoint/checkpoint.hpp>
#include <thaw/checkpoint/resume.hpp>
#include <thaw/data/in_memory.hpp>
#include <thaw/distributed/data_parallel.hpp>
#include <thaw/find/suggest.hpp>
#include <thaw/report/csv_log.hpp>
#include <thaw/schedule/one_cycle.hpp>
#include <thaw/train/early_stop.hpp>
#include <thaw/train/gradient_accumulation.hpp>
#include <thaw/train/gradient_clip.hpp>
#include <thaw/train/learner.hpp>
#include <thaw/train/loss.hpp>
#include <thaw/train/metric_auroc.hpp>
#include <thaw/train/nan_guard.hpp>
#include <thaw/train/save_best.hpp>
#include <thaw/train/weight_average.hpp>
#include <thread>

#include "device/accelerator.hpp"
#include "device/accelerator_collectives.hpp"

namespace accelerator = thaw::test::accelerator;

namespace {

thaw::InMemoryOptions random_numbers(std::int64_t n, std::uint64_t seed) {
  at::manual_seed(seed);
  return {
      .input = at::randn({n, 6}, at::kDouble), .target = at::randint(2, {n}, at::kLong), .batch_size = 10, .seed = 7};
}

at::Tensor cross_entropy(const at::Tensor& output, const at::Tensor& target) {
  return at::cross_entropy_loss(output, target);
}

/// LibTorch's own loader, which shuffles by the global generator.
thaw::DataSource loader(const thaw::InMemoryOptions& numbers) {
  using Example = torch::data::Example<>;
  std::vector<Example> examples;
  for (std::int64_t i = 0; i < numbers.input[0].size(0); ++i)
    examples.emplace_back(numbers.input[0][i], numbers.target[0][i]);
  struct Set : torch::data::datasets::Dataset<Set> {
    std::vector<Example> all;
    Example get(std::size_t i) override { return all[i]; }
    [[nodiscard]] c10::optional<std::size_t> size() const override { return all.size(); }
  } set;
  set.all = std::move(examples);
  return torch::data::make_data_loader<torch::data::samplers::RandomSampler>(
      std::move(set).map(torch::data::transforms::Stack<>()), 10);
}

/// A source whose third batch cannot be had in one process.
struct Breaking {
  thaw::InMemory numbers;
  bool breaks;
  Breaking(const thaw::InMemoryOptions& options, bool breaks_) : numbers(options), breaks(breaks_) {}
  [[nodiscard]] std::int64_t batches() const { return numbers.batches(); }
  [[nodiscard]] thaw::BatchStream stream(std::int64_t epoch, std::int64_t i, const thaw::Shard& shard) const {
    return [next = numbers.stream(epoch, i, shard), n = i, breaks = breaks]() mutable {
      if (n++ == 2 && breaks) throw thaw::FileError("image 17", "is gone", "bring it back");
      return next();
    };
  }
  [[nodiscard]] thaw::BatchStream stream(std::int64_t epoch) const { return stream(epoch, 0, {}); }
};

at::Device device = at::kCPU;

torch::nn::Sequential make_model(std::int64_t rank, bool dropout, bool unused, at::ScalarType type) {
  at::manual_seed(10 + static_cast<std::uint64_t>(rank));  // so that weights must come from rank 0
  torch::nn::Sequential model(torch::nn::Linear(6, 8), torch::nn::BatchNorm1d(8), torch::nn::ReLU(),
                              torch::nn::Linear(8, 8), torch::nn::Dropout(dropout ? 0.3 : 0.0),
                              torch::nn::Linear(8, 2));
  if (unused) model->register_module("unused", torch::nn::Linear(2, 2));
  model->to(device, type);
  return model;
}

/// How many numbers.
std::int64_t remembered(torch::optim::Optimizer& optimizer) {
  std::int64_t sum = 0;
  for (const auto& [parameter, state] : optimizer.state())
    sum += static_cast<torch::optim::AdamWParamState&>(*state).exp_avg().numel();
  return sum;
}

/// All that a run gives, as tensors.
std::vector<at::Tensor> result_of(thaw::Learner& learner) {
  std::vector<at::Tensor> result;
  learner.groups().each_tensor([&](const std::string&, const at::Tensor& tensor) {
    result.push_back(tensor.detach().to(at::kCPU, at::kDouble));
  });
  std::vector<double> records;
  for (const thaw::EpochRecord& epoch : learner.history().epochs) {
    records.push_back(epoch.train_loss);
    if (!epoch.valid) continue;
    records.push_back(epoch.valid->loss);
    for (const thaw::MetricValue& metric : epoch.valid->metrics) records.push_back(metric.value);
  }
  for (const thaw::StepRecord& step : learner.history().steps) records.push_back(step.loss);
  for (const thaw::LRCurve& curve : learner.lr_curves()) {
    records.insert(records.end(), curve.loss.begin(), curve.loss.end());
    if (curve.change.empty()) continue;
    for (const auto* losses : {&curve.change, &curve.held_out})
      records.insert(records.end(), losses->begin(), losses->end());
  }
  result.push_back(at::tensor(records, at::kDouble).nan_to_num(-1));
  for (const auto& [name, tensor] : learner.run_state())
    if (name.starts_with("loss scale")) result.push_back(tensor.to(at::kCPU, at::kDouble));
  return result;
}

std::vector<thaw::Stage> three_stages() {
  return {{.name = "head", .epochs = 2, .freeze = thaw::FreezeTo{-1}, .lr = 1e-2, .norm = thaw::hold_everywhere},
          {.name = "upper",
           .epochs = 2,
           .freeze = thaw::FreezeTo{1},
           .lr = thaw::DiscriminativeLR::slice(1e-3, 1e-2),
           .schedule = thaw::OneCycle{},
           .norm = thaw::hold_everywhere},
          {.name = "all",
           .epochs = 2,
           .freeze = thaw::Unfrozen{},
           .lr = thaw::DiscriminativeLR::slice(1e-3, 1e-2),
           .schedule = thaw::OneCycle{},
           .norm = thaw::hold_everywhere}};
}

/// What happens in one process, as a step ends.
struct Fault {
  std::int64_t rank, step;
  std::string what, folder;
  void on_step_end(const thaw::StepEnd& event) const {
    if (event.learner.world().rank() != rank || event.learner.history().steps_done != step) return;
    if (what == "die" || (what == "die at first" && thaw::distributed::environment().attempt == 0)) std::raise(SIGKILL);
    if (what == "signal") std::raise(SIGTERM);
    if (what == "throw after it") throw thaw::DataError("here", "nothing works", "do not");
    if (what == "stop") event.learner.stop("rank " + std::to_string(rank) + " had enough");
    if (what == "die in backward") {
      at::Tensor last;
      event.learner.groups().each_tensor([&](const std::string&, const at::Tensor& tensor) {
        if (tensor.requires_grad()) last = tensor;
      });
      last.register_hook([](const at::Tensor&) { std::raise(SIGKILL); });
    }
    if (what == "wait") {  // while somebody cuts the network, and removes the file
      const std::filesystem::path file = std::filesystem::path(folder) / "waiting";
      std::ofstream{file};
      while (std::filesystem::exists(file)) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }
  void on_epoch_end(const thaw::EpochEnd& event) const {
    if (event.learner.world().rank() == rank && what == "throw after the epoch")
      throw thaw::DataError("here", "nothing works", "do not");
  }
  void on_gradients_ready(const thaw::GradientsReady& event) const {
    if (event.learner.world().rank() != rank || event.learner.history().steps_done != step) return;
    if (what == "skip") event.learner.skip_step();
    if (what == "throw") throw thaw::DataError("here", "nothing works", "do not");
  }
};

/// Makes some batches so large that gradients overflow in float16: in all processes, or in one.
struct Overflows {
  bool in_one;
  void on_batch_ready(const thaw::BatchReady& event) const {
    const std::int64_t step = event.learner.history().steps_done % 7;
    if ((step != 2 && step != 3) || (in_one && event.learner.world().rank() != 1)) return;
    event.batch.input = event.batch.input.map([](const at::Tensor& x) { return x * 1e30; });
  }
};

/// Within an epoch nothing waits for the device, once c10d's Reducer has ordered its buckets in a stage's first.
struct NothingWaits {
  std::shared_ptr<std::optional<accelerator::NoSync>> refused = std::make_shared<std::optional<accelerator::NoSync>>();
  void on_step_end(const thaw::StepEnd& event) const {
    const std::int64_t step = (event.step - 1) % (event.steps / event.epochs) + 1;
    if (event.epoch > 1 && step == 1) refused->emplace();
    if (step == event.steps / event.epochs) refused->reset();
  }
};

/// Where the loss does not explode, which would make rounding large.
const thaw::LRFinder paired_sweep{.end_lr = 0.1, .steps = 10, .paired = true};

struct Arguments {
  std::string name, folder;
  std::int64_t fault_rank = -1, fault_step = -1;
  std::string fault = {};
};

void run(const Arguments& arguments, const thaw::distributed::Processes& processes) {
  const auto& [name, folder, fault_rank, fault_step, fault] = arguments;
  const auto is = [&, &name = name](const char* which) { return name == which; };
  const bool half = name.starts_with("half");
  auto model = make_model(processes.rank(), is("dropout"), is("unused") || is("unused, unsaid"),
                          half ? at::kFloat : at::kDouble);
  auto groups = thaw::LayerGroups::cut_before(model, {"3", "5"});
  thaw::InMemoryOptions numbers = random_numbers(33, 1);  // the last batch has three samples
  numbers.shuffle = true;
  numbers.drop_last = is("norm") || is("sync norm");  // no process can train norms on one sample
  if (half) numbers.input = numbers.input[0].to(at::kFloat);
  thaw::CrossEntropy weighted{.weight = at::tensor({1.0, 5.0}, at::kDouble)};
  if (is("weighted")) numbers.target[0].slice(0, 0, 33, 3).fill_(weighted.ignore_index);
  if (is("nan")) numbers.input[0].select(0, 5).fill_(std::nan(""));
  thaw::LearnerOptions options{
      .train = thaw::InMemory(numbers),
      .valid = thaw::InMemory(random_numbers(21, 2)),  // the last batch has one
      .metrics = {thaw::accuracy(), thaw::auroc()},
      .world = data_parallel(processes, {.sync_batch_norm = is("sync norm"),
                                         .find_unused_parameters = is("unused"),
                                         .shard_optimizer = is("sharded") || is("half, sharded")})};
  if (is("loader")) options.train = loader(numbers);
  if (is("data")) options.train = thaw::DataSource(Breaking{numbers, processes.rank() == fault_rank});
  if (half) {
    options.valid = {};
    options.metrics.clear();
    options.precision = thaw::Precision::float16;
    options.callbacks.emplace_back(Overflows{.in_one = is("half, in one")});
  }
  // these read the device: float16 a step later, NaNGuard, SyncBatchNorm its count, c10d which parameters were unused
  if (!half && !is("nan") && !is("sync norm") && !is("unused")) options.callbacks.emplace_back(NothingWaits{});
  options.callbacks.emplace_back(Fault{fault_rank, fault_step, fault, folder});
  at::manual_seed(3);
  thaw::Learner learner = is("weighted") ? thaw::Learner{model, groups, weighted, std::move(options)}
                                         : thaw::Learner{model, groups, cross_entropy, std::move(options)};
  if (is("weighted") || is("plan") || is("sharded")) {
    learner.unfreeze(thaw::hold_everywhere);  // else each process would take statistics of its own
    (void)learner.find_lr({.steps = 20});
    (void)learner.find_lr(paired_sweep);
    learner.fit(three_stages(), thaw::GradientAccumulation{3}, thaw::GradientClip{0.5});
    learner.fit({.name = "all, batch by batch", .epochs = 2, .lr = 1e-3});
    fmt::print("optimizer remembers {}\n", remembered(learner.optimizer()));
    learner.save(folder + "/learner.pt");
  } else if (is("cached")) {
    learner.fit({.name = "head",
                 .epochs = 3,
                 .freeze = thaw::FreezeTo{-1},
                 .lr = 1e-2,
                 .norm = thaw::hold_everywhere,
                 .cache = thaw::Cache::memory});
    fmt::print("frozen part: {}\n", learner.history().stages[0].frozen_part);
  } else if (is("norm") || is("sync norm")) {
    if (is("sync norm")) {
      (void)learner.find_lr({.steps = 20});
      (void)learner.find_lr(paired_sweep);
    }
    learner.fit({.name = "all", .epochs = 2, .lr = 1e-2}, thaw::SWA{.start = 0.5});
  } else if (half || is("resumed") || is("dropout") || is("ended")) {
    if (const thaw::ResumeReport found = thaw::resume(learner, folder + "/runs"))
      fmt::print("resumed from {}, {} passed over\n", found.from.string(), found.passed_over.size());
    learner.fit(three_stages(),
                thaw::Checkpoint{.dir = folder + "/runs",
                                 .every = {.steps = 3},
                                 .on_signal = is("ended") ? thaw::OnSignal::end : thaw::OnSignal::raise,
                                 .signals = {SIGINT, SIGUSR1, SIGUSR2, SIGXCPU, SIGTERM}},
                thaw::CsvLog{folder + "/log.csv"});
  } else {
    learner.fit({.name = "all", .epochs = 3, .freeze = thaw::Unfrozen{}, .lr = 1e-2, .norm = thaw::hold_everywhere},
                thaw::NaNGuard{}, thaw::SaveBest{folder + "/best.pt"});
  }
  std::ofstream result(folder + "/result-" + std::to_string(processes.rank()), std::ios::binary);
  torch::save(result_of(learner), result);  // by a stream, since a path's name would be in the file
}

/// Whether two results are the same but for sums in another order, in double.
bool compare(const std::string& a, const std::string& b) {
  std::vector<at::Tensor> one, other;
  torch::load(one, a), torch::load(other, b);
  if (!std::ranges::equal(one, other, {}, &at::Tensor::sizes, &at::Tensor::sizes))
    throw thaw::DataError(b, "has other sizes than " + a, "compare runs of one case");
  double most = 0;
  for (std::size_t i = 0; i < one.size() && !std::isnan(most); ++i)
    most = std::max((one[i] - other[i]).abs().max().item<double>(), most);  // NaN stays
  fmt::print("{:.1e}\n", most);
  return most <= 1e-12;
}

}  // namespace

int main(int argc, char** argv) try {
  at::set_num_threads(1);
  if (std::string_view(argv[1]) == "compare") return compare(argv[2], argv[3]) ? 0 : 1;
  if (const char* on = std::getenv("THAW_TEST_DEVICE"); on != nullptr && std::string_view(on) == "accelerator")
    device = accelerator::start();  // of a GPU there would have to be one for each process
  const char* timeout = std::getenv("THAW_TIMEOUT");
  const auto processes =
      thaw::distributed::init(thaw::distributed::environment(),
                              {.timeout = std::chrono::seconds(timeout != nullptr ? std::stoi(timeout) : 60)});
  if (!device.is_cpu() && processes.size() > 1) accelerator::add_collectives(*processes.group());
  run({.name = argv[1],
       .folder = argv[2],
       .fault_rank = argc > 3 ? std::stoll(argv[3]) : -1,
       .fault_step = argc > 4 ? std::stoll(argv[4]) : -1,
       .fault = argc > 5 ? argv[5] : ""},
      processes);
  processes.barrier();
  for (const std::string& what : accelerator::misuse()) throw std::logic_error(what);
  fmt::print("rank {} of {}: done\n", processes.rank(), processes.size());
} catch (const std::exception& error) {
  fmt::print(stderr, "{}\n", error.what());
  std::fflush(stderr), std::_Exit(1);  // a process group whose peers are gone may wait for them in its destructor
}
