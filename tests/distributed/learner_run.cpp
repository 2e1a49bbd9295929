// A Learner in several processes, for tests.
//   learner_run <case> <folder> [<rank> <step>]
// What a case gives is written to <folder>/result, by the first process; each process says "done" at its end.

#include <torch/data/dataloader.h>
#include <torch/data/datasets/tensor.h>
#include <torch/data/samplers/random.h>
#include <torch/data/transforms/stack.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>
#include <torch/serialize.h>

#include <ATen/Parallel.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <fmt/format.h>

#include <cmath>
#include <csignal>
#include <cstdlib>
#include <string>
#include <thaw/checkpoint/checkpoint.hpp>
#include <thaw/data/in_memory.hpp>
#include <thaw/distributed/data_parallel.hpp>
#include <thaw/find/suggest.hpp>
#include <thaw/report/csv_log.hpp>
#include <thaw/schedule/one_cycle.hpp>
#include <thaw/train/early_stop.hpp>
#include <thaw/train/gradient_accumulation.hpp>
#include <thaw/train/gradient_clip.hpp>
#include <thaw/train/learner.hpp>
#include <thaw/train/metric_auroc.hpp>
#include <thaw/train/nan_guard.hpp>
#include <thaw/train/save_best.hpp>

namespace {

struct Loss {
  at::Tensor operator()(const at::Tensor& output, const at::Tensor& target) const {
    return at::cross_entropy_loss(output, target);
  }
};

thaw::InMemory numbers(std::int64_t n, std::uint64_t seed, bool shuffle) {
  at::manual_seed(seed);
  return thaw::InMemory({.input = at::randn({n, 6}, at::kDouble),
                         .target = at::randint(2, {n}, at::kLong),
                         .batch_size = 10,
                         .shuffle = shuffle,
                         .seed = 7});
}

torch::nn::Sequential make_model(std::int64_t rank) {
  at::manual_seed(10 + static_cast<std::uint64_t>(rank));  // so that weights must come from rank 0
  torch::nn::Sequential model(torch::nn::Linear(6, 8), torch::nn::BatchNorm1d(8), torch::nn::ReLU(),
                              torch::nn::Linear(8, 8), torch::nn::ReLU(), torch::nn::Linear(8, 2));
  model->to(at::kDouble);
  return model;
}

/// All that a run gives, as tensors.
std::vector<at::Tensor> result_of(thaw::Learner& learner) {
  std::vector<at::Tensor> result;
  learner.groups().each_tensor([&](const std::string&, const at::Tensor& tensor) {
    result.push_back(tensor.detach().to(at::kDouble));
  });
  std::vector<double> records;
  for (const thaw::EpochRecord& epoch : learner.history().epochs) {
    records.push_back(epoch.train_loss);
    if (!epoch.valid) continue;
    records.push_back(epoch.valid->loss);
    for (const thaw::MetricValue& metric : epoch.valid->metrics) records.push_back(metric.value);
  }
  for (const thaw::StepRecord& step : learner.history().steps) records.push_back(step.loss);
  for (const thaw::LRCurve& curve : learner.sweeps()) records.insert(records.end(), curve.loss.begin(), curve.loss.end());
  result.push_back(at::tensor(records, at::kDouble));
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

/// Does something in one process, as a step ends.
struct Fault {
  std::int64_t rank, step;
  std::function<void(thaw::Learner&)> what;
  void on_step_end(const thaw::StepEnd& event) const {
    if (event.learner.world().rank() == rank && event.learner.history().steps_done == step) what(event.learner);
  }
};

}  // namespace

int main(int argc, char** argv) try {
  const std::string name = argv[1], folder = argv[2];
  const std::int64_t fault_rank = argc > 3 ? std::stoll(argv[3]) : -1, fault_step = argc > 4 ? std::stoll(argv[4]) : -1;
  at::set_num_threads(1);
  const auto processes = thaw::distributed::init(thaw::distributed::environment(), {.timeout = std::chrono::seconds(60)});
  auto model = make_model(processes.rank());
  auto groups = thaw::LayerGroups::cut_before(model, {"3", "5"});
  thaw::LearnerOptions options{.train = numbers(33, 1, true),  // the last batch has three samples
                               .valid = numbers(21, 2, false),
                               .metrics = {thaw::accuracy(), thaw::auroc()},
                               .world = thaw::distributed::data_parallel(processes)};
  const auto make = [&] { return thaw::Learner{model, groups, Loss{}, std::move(options)}; };
  const Fault fault{fault_rank, fault_step, [&](thaw::Learner& learner) {
                      if (name == "die") std::raise(SIGKILL);
                      if (name == "stop") learner.stop("rank " + std::to_string(processes.rank()) + " had enough");
                      if (name == "throw") throw thaw::DataError("here", "nothing works", "do not");
                    }};

  if (name == "plan") {
    thaw::Learner learner = make();
    learner.unfreeze(thaw::hold_everywhere);  // each process would take statistics of its own
    (void)learner.find_lr({.steps = 20});
    learner.fit(three_stages(), thaw::GradientAccumulation{2}, thaw::GradientClip{0.5});
    learner.fit({.name = "all, batch by batch", .epochs = 2, .lr = 1e-3, .norm = thaw::hold_everywhere}, fault);
    torch::save(result_of(learner), folder + "/result");
  }
  processes.barrier();
  fmt::print("rank {} of {}: done\n", processes.rank(), processes.size());
} catch (const std::exception& error) {
  fmt::print(stderr, "{}\n", error.what());
  std::fflush(stderr), std::_Exit(1);  // a process group whose peers are gone may wait for them in its destructor
}
