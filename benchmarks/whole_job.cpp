// SPDX-License-Identifier: BSD-3-Clause
// The whole job, once, in a process of its own: a new head on a frozen body, the LR finder, all thawed. By thaw, or by
// the loop that a LibTorch user writes by hand. Prints one line of JSON; whole_job.py runs it beside fastai and
// Lightning (peers/) and makes the table.
//
//   build/bench/benchmarks/whole_job --side thaw|thaw_recompute|hand|hand_channels_last [--job '{"images": 64}']
//
// The network is resnet34 with random weights, as stand-in for pretrained ones; images are random too. No side is given
// a validation set, a progress bar or a log. Making network and data does not count.

#include "bench.hpp"

#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/randperm.h>
#include <c10/core/GradMode.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/optim/adamw.h>

#include <cmath>
#include <thaw/models/heads.hpp>
#include <thaw/models/resnet.hpp>
#include <thaw/thaw.hpp>

namespace {

/// What every side is told; whole_job.py gives the numbers.
struct Job {
  std::int64_t images = 256, pixels = 128, batch = 32, head_epochs = 5, finder_steps = 20, thawed_epochs = 3;
  NLOHMANN_DEFINE_TYPE_INTRUSIVE_WITH_DEFAULT(Job, images, pixels, batch, head_epochs, finder_steps, thawed_epochs)
};

constexpr std::int64_t classes = 10;
constexpr double head_lr = 2e-3, body_lr = 1e-5, top_lr = 1e-3;               // peaks of one-cycle
constexpr double weight_decay = 0.01, beta1 = 0.9, beta2 = 0.99, eps = 1e-5;  // AdamW's: fastai's and thaw's defaults
constexpr double finder_start = 1e-7, finder_end = 1e-2, finder_beta = 0.98;  // no early stop: all sides do all steps

struct Data {
  explicit Data(const Job& job)
      : input(at::randn({job.images, 3, job.pixels, job.pixels})),
        target(at::randint(classes, {job.images}, at::kLong)) {}
  at::Tensor input, target;
};

thaw::models::ResNet with_new_head() {
  thaw::models::ResNet model = thaw::models::resnet34();
  thaw::models::replace_head(model, thaw::models::linear_head(model->head_features(), classes, /*dropout=*/0));
  return model;
}

/// The most memory that the process ever held, in MB.
double peak_mb() {
  return bench::status_kb("VmHWM:") / 1024;
}

/// What the line of JSON holds.
struct Result {
  nlohmann::json seconds, peaks, losses;

  /// `stage()` returns its last loss.
  template <class Stage>
  void add(const char* name, Stage stage) {
    double loss = 0;
    seconds[name] = bench::timed([&] { loss = stage(); });
    seconds["total"] = seconds.value("total", 0.0) + seconds[name].get<double>();
    peaks[name] = peak_mb();
    losses[name] = loss;
  }
};

// ---- thaw ----

void with_thaw(const Job& job, const Data& data, thaw::models::ResNet& model, const thaw::RunParts& run_parts,
               Result& result) {
  const auto rates = thaw::DiscriminativeLR::slice(body_lr, top_lr);
  const auto train = [&] {
    return thaw::InMemory({.input = data.input, .target = data.target, .batch_size = job.batch, .shuffle = true});
  };
  std::optional<thaw::Learner> learner;
  result.add("head", [&] {
    learner.emplace(model, thaw::LayerGroups::cut_before(model, thaw::models::resnet_cuts()), thaw::cross_entropy,
                    thaw::LearnerOptions{.train = train(), .run_parts = run_parts});
    return learner
        ->fit({.epochs = job.head_epochs, .freeze = thaw::FreezeTo{-1}, .lr = head_lr, .cache = thaw::Cache::memory})
        .train_loss;
  });
  result.add("finder", [&] {
    learner->unfreeze();
    const thaw::LRFinder finder{.start_lr = finder_start,
                                .end_lr = finder_end,
                                .steps = job.finder_steps,
                                .stop_early = false,
                                .beta = finder_beta,
                                .rates = rates};
    return learner->find_lr(finder).smoothed.back();
  });
  result.add("thawed", [&] { return learner->fit({.epochs = job.thawed_epochs, .lr = rates}).train_loss; });
}

// ---- by hand, with what LibTorch has ----

class ByHand {
 public:
  ByHand(const Job& job, const Data& data, thaw::models::ResNet model, at::MemoryFormat layout)
      : job_(job), data_(data), model_(std::move(model)), layout_(layout) {
    if (layout_ == at::MemoryFormat::Contiguous) return;
    for (at::Tensor& parameter : model_->parameters())  // torch::nn::Module::to knows no layouts
      if (parameter.dim() == 4) parameter.set_data(parameter.contiguous(layout_));
  }

  double head() {
    freeze_body(true);
    torch::optim::AdamW optimizer(model_->head->parameters(), options());
    return one_cycle(optimizer, job_.head_epochs, {head_lr});
  }

  /// Returns the last of the smoothed losses. An optimizer of its own is the simplest way to leave no state behind.
  double finder() {
    freeze_body(false);
    std::vector<at::Tensor> state = model_->parameters(), saved;
    for (const at::Tensor& buffer : model_->buffers()) state.push_back(buffer);
    for (const at::Tensor& tensor : state) saved.push_back(tensor.detach().clone());
    torch::optim::AdamW optimizer(three_groups(), options());
    const std::vector<double> ratios = {body_lr / top_lr, std::sqrt(body_lr / top_lr), 1};

    std::vector<double> rates, smoothed;
    double average = 0;
    at::Tensor order;
    train();
    for (std::int64_t i = 0, batch = 0; i < job_.finder_steps; ++i, batch = (batch + 1) % batches()) {
      if (batch == 0) order = at::randperm(job_.images, at::kLong);
      const double t = static_cast<double>(i) / static_cast<double>(job_.finder_steps);
      rates.push_back(finder_start * std::pow(finder_end / finder_start, t));
      set_rates(optimizer, ratios, rates.back(), beta1);
      average = finder_beta * average + (1 - finder_beta) * step(optimizer, order, batch).item<double>();
      smoothed.push_back(average / (1 - std::pow(finder_beta, static_cast<double>(i + 1))));
    }
    const c10::NoGradGuard no_grad;
    for (std::size_t i = 0; i < state.size(); ++i) state[i].copy_(saved[i]);
    return smoothed.back();
  }

  double thawed() {
    freeze_body(false);
    torch::optim::AdamW optimizer(three_groups(), options());
    return one_cycle(optimizer, job_.thawed_epochs, {body_lr, std::sqrt(body_lr * top_lr), top_lr});
  }

 private:
  static torch::optim::AdamWOptions options() {
    return torch::optim::AdamWOptions(top_lr).betas({beta1, beta2}).eps(eps).weight_decay(weight_decay);
  }

  [[nodiscard]] std::int64_t batches() const { return (job_.images + job_.batch - 1) / job_.batch; }

  void freeze_body(bool frozen) {
    for (const at::Tensor& parameter : model_->parameters()) parameter.set_requires_grad(!frozen);
    for (const at::Tensor& parameter : model_->head->parameters()) parameter.set_requires_grad(true);
    frozen_ = frozen;
  }

  /// Training mode, the norms of a frozen body held.
  void train() {
    model_->train();
    if (frozen_)
      for (const auto& module : model_->modules())
        if (auto* norm = module->as<torch::nn::BatchNorm2d>()) norm->eval();
  }

  [[nodiscard]] std::vector<torch::optim::OptimizerParamGroup> three_groups() {
    std::vector<at::Tensor> early, late;
    for (const auto& child : model_->named_children())
      for (const at::Tensor& parameter : child.value()->parameters())
        if (child.key() == "layer3" || child.key() == "layer4")
          late.push_back(parameter);
        else if (child.key() != "head")
          early.push_back(parameter);
    std::vector<torch::optim::OptimizerParamGroup> groups;
    for (auto& parameters : {early, late, model_->head->parameters()}) groups.emplace_back(parameters);
    return groups;
  }

  static void set_rates(torch::optim::AdamW& optimizer, const std::vector<double>& peaks, double factor,
                        double momentum) {
    for (std::size_t i = 0; i < peaks.size(); ++i) {
      auto& group = static_cast<torch::optim::AdamWOptions&>(optimizer.param_groups()[i].options());
      group.lr(peaks[i] * factor).betas({momentum, beta2});
    }
  }

  /// Returns the mean loss of the last epoch.
  double one_cycle(torch::optim::AdamW& optimizer, std::int64_t epochs, const std::vector<double>& peaks) {
    const double steps = static_cast<double>(epochs * batches());
    std::vector<at::Tensor> losses;
    for (std::int64_t epoch = 0; epoch < epochs; ++epoch) {
      train();
      losses.clear();
      const at::Tensor order = at::randperm(job_.images, at::kLong);
      for (std::int64_t batch = 0; batch < batches(); ++batch) {
        const auto now = thaw::OneCycle{}(static_cast<double>(epoch * batches() + batch) / steps);
        set_rates(optimizer, peaks, now.lr, *now.momentum);
        losses.push_back(step(optimizer, order, batch));
      }
    }
    return at::stack(losses).mean().item<double>();
  }

  /// A step on the samples that the order has next; returns the loss, detached.
  at::Tensor step(torch::optim::AdamW& optimizer, const at::Tensor& order, std::int64_t batch) {
    const at::Tensor samples = order.slice(0, batch * job_.batch, (batch + 1) * job_.batch);
    const at::Tensor input = data_.input.index_select(0, samples).contiguous(layout_);
    const at::Tensor loss = at::cross_entropy_loss(model_(input), data_.target.index_select(0, samples));
    optimizer.zero_grad();
    loss.backward();
    optimizer.step();
    return loss.detach();
  }

  const Job& job_;
  const Data& data_;
  thaw::models::ResNet model_;
  at::MemoryFormat layout_;
  bool frozen_ = false;
};

void by_hand(ByHand side, Result& result) {
  result.add("head", [&] { return side.head(); });
  result.add("finder", [&] { return side.finder(); });
  result.add("thawed", [&] { return side.thawed(); });
}

}  // namespace

int main(int count, char** words) {
  std::string side;
  Job job;
  for (int i = 1; i + 1 < count; i += 2)
    if (std::string_view(words[i]) == "--side")
      side = words[i + 1];
    else if (std::string_view(words[i]) == "--job")
      job = nlohmann::json::parse(words[i + 1]).get<Job>();
  at::manual_seed(0);
  const Data data(job);
  thaw::models::ResNet model = with_new_head();
  Result result;
  if (side == "thaw" || side == "thaw_recompute") {
    with_thaw(job, data, model, side == "thaw" ? thaw::RunParts() : thaw::Recompute{}, result);
  } else if (side == "hand" || side == "hand_channels_last") {
    by_hand(ByHand(job, data, model, side == "hand" ? at::MemoryFormat::Contiguous : at::MemoryFormat::ChannelsLast),
            result);
  } else {
    fmt::print(stderr, "{} --side thaw|thaw_recompute|hand|hand_channels_last [--job JSON]\n", words[0]);
    return 2;
  }
  const nlohmann::json line{{"stages", result.seconds},
                            {"peak_mb", peak_mb()},
                            {"peaks_mb", result.peaks},
                            {"losses", result.losses},
                            {"threads", at::get_num_threads()}};
  fmt::print("{}\n", line.dump());
}
