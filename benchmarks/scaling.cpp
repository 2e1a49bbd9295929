// SPDX-License-Identifier: BSD-3-Clause
// How thaw's own work grows: with layer groups, parameters, rows of data and steps. Each should be a straight line:
// twice as much of it takes at most twice the time.
//
//   cmake --preset bench && cmake --build --preset bench && build/bench/benchmarks/scaling [--svg docs/scaling.svg]
//
// Every size of a series takes turns with the others, on one thread, in processor time. A row is the exponent p of
// time ~ size^p: least squares over logarithms, above the floor that does not depend on the size (sizes that take at
// least twice the least time; the last three where there are fewer). A floor in what is left can only make p smaller,
// so p is at most 1 for what is linear.

#include "bench.hpp"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/full.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/randperm.h>
#include <c10/core/GradMode.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/adamw.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <ctime>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <thaw/find/snapshot.hpp>
#include <thaw/report/svg.hpp>
#include <thaw/thaw.hpp>
#include <utility>
#include <vector>

namespace {

using Turn = std::function<void()>;
using Make = std::function<Turn(std::int64_t)>;

/// The exponent of seconds as a power of size, above their floor.
double exponent(std::span<const double> sizes, std::span<const double> seconds) {
  const double floor = 2 * *std::ranges::min_element(seconds);
  std::vector<std::pair<double, double>> points;
  for (std::size_t i = 0; i < sizes.size(); ++i)
    if (seconds[i] >= floor || i + 3 >= sizes.size()) points.emplace_back(std::log(sizes[i]), std::log(seconds[i]));
  double x = 0, y = 0, xx = 0, xy = 0;
  const auto n = static_cast<double>(points.size());
  for (const auto& [a, b] : points) x += a / n, y += b / n;
  for (const auto& [a, b] : points) xx += (a - x) * (a - x), xy += (a - x) * (b - y);
  return xy / xx;
}

/// Processor seconds of this program, which other programs do not lengthen.
double processor_seconds(const Turn& turn, int times = 1) {
  const std::clock_t start = std::clock();
  for (int i = 0; i < times; ++i) turn();
  return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC / times;
}

/// So often that it takes a few milliseconds; returns the seconds of one.
double timed_often(const Turn& turn) {
  constexpr double enough = 5e-3;
  const double once = processor_seconds(turn);
  return once >= enough ? once : processor_seconds(turn, static_cast<int>(std::min(enough / (once + 1e-6), 2000.) + 1));
}

/// All that is measured against one quantity: a panel of the figure.
class Quantity {
 public:
  Quantity(std::string name, std::vector<double> sizes, int rounds, bench::Report& report)
      : sizes_(std::move(sizes)), rounds_(rounds), report_(&report) {
    panel_ = {.title = "seconds, by " + name, .y = {.log = true}};
    name_ = std::move(name);
  }

  /// `make(size)` prepares what is then timed. Its exponent is held against that of `bare`, the same work without thaw,
  /// where memory that is larger than a cache makes that more than 1.
  void add(const std::string& what, const Make& make, const Make& bare = {}) {
    const double linear = bare ? exponent(sizes_, seconds(bare)) : 1;
    std::vector<double> taken = seconds(make);
    report_->add(what + ", by " + name_, exponent(sizes_, taken), linear, "exponent", bench::Target::at_most, 1.1);
    panel_.series.push_back(
        {.name = what, .x = sizes_, .y = std::move(taken), .color = panel_.series.size(), .dots = true});
  }

  [[nodiscard]] const thaw::Panel& panel() const { return panel_; }

 private:
  [[nodiscard]] std::vector<double> seconds(const Make& make) const {
    std::vector<Turn> turns;
    for (const double size : sizes_) turns.push_back(make(static_cast<std::int64_t>(size)));
    std::vector<std::vector<double>> taken(sizes_.size());
    for (int round = 0; round < rounds_; ++round)
      for (std::size_t i = 0; i < turns.size(); ++i) taken[i].push_back(timed_often(turns[i]));
    std::vector<double> medians;
    for (auto& each : taken) medians.push_back(bench::median(std::move(each)));
    return medians;
  }

  std::string name_;
  std::vector<double> sizes_;
  int rounds_;
  bench::Report* report_;
  thaw::Panel panel_;
};

constexpr std::int64_t width = 8, batch_size = 16;

torch::nn::Sequential network(std::int64_t layers) {
  torch::nn::Sequential model;
  for (std::int64_t i = 0; i < layers; ++i) model->push_back(torch::nn::Linear(width, width));
  return model;
}

thaw::InMemory rows(std::int64_t n, std::int64_t batch = batch_size) {
  return thaw::InMemory({.input = at::randn({n, width}),
                         .target = at::randint(width, {n}, at::kLong),
                         .batch_size = batch,
                         .shuffle = true});
}

/// Names of the layers before which so many groups are cut.
std::vector<std::string> cuts(std::int64_t layers, std::int64_t groups) {
  std::vector<std::string> names;
  for (std::int64_t i = 1; i < groups; ++i) names.push_back(std::to_string(i * layers / groups));
  return names;
}

thaw::Panel by_groups(bool quick, bench::Report& report) {
  constexpr std::int64_t layers = 200;
  Quantity groups("layer groups", {1, 2, 5, 10, 20, 50, 100, 200}, quick ? 5 : 15, report);
  groups.add("making groups", [&](std::int64_t n) -> Turn {
    return [model = network(n), names = cuts(n, n)] { (void)thaw::LayerGroups::cut_before(model, names); };
  });
  groups.add("making them by patterns", [&](std::int64_t n) -> Turn {  // each name is tried on each pattern
    std::vector<thaw::NamedPatterns> patterns;
    for (std::int64_t i = 0; i + 1 < n; ++i) patterns.push_back({std::to_string(i), {std::to_string(i) + ".*"}});
    const auto is_rest = [n](std::string_view name) { return std::stoi(std::string(name)) >= n - 1; };
    patterns.push_back({"rest", {{"rest", is_rest}}});
    return [model = network(layers), patterns] { (void)thaw::LayerGroups::matching(model, patterns); };
  });
  groups.add("freezing and thawing", [&](std::int64_t n) -> Turn {
    auto model = network(layers);
    return [made = thaw::LayerGroups::cut_before(model, cuts(layers, n)), flip = false, n]() mutable {
      (void)thaw::apply((flip = !flip) && n > 1 ? thaw::AnyFreezePolicy(thaw::FreezeTo{-1}) : thaw::Unfrozen{}, made);
    };
  });
  groups.add("setting rates", [&](std::int64_t n) -> Turn {
    auto model = network(layers);
    auto made = std::make_shared<thaw::LayerGroups>(thaw::LayerGroups::cut_before(model, cuts(layers, n)));
    auto optimizer = std::make_shared<thaw::AdamW>(*made);
    const auto peak = thaw::DiscriminativeLR::slice(1e-6, 1e-3)(made->size());
    return [made, optimizer, peak, rates = thaw::OptimizerGroups(*optimizer, *made)] {
      rates.set(thaw::OneCycle{}(0.4), peak);
    };
  });
  const auto learner = [&](std::int64_t n) {
    auto model = network(n);
    return std::make_shared<thaw::Learner>(model, thaw::LayerGroups::cut_before(model, cuts(n, n)), thaw::cross_entropy,
                                           thaw::LearnerOptions{.train = rows(10 * batch_size)});
  };
  groups.add("describing a plan", [&](std::int64_t n) -> Turn {
    const thaw::AnyFreezePolicy gradually = thaw::GradualUnfreeze{.every = thaw::Epochs{1}};
    return [l = learner(n), policy = n > 1 ? gradually : thaw::Unfrozen{}] {
      (void)l->describe({{.name = "gradually", .epochs = 200, .freeze = policy, .schedule = thaw::OneCycle{}}});
    };
  });
  groups.add("ten steps of a fit", [&](std::int64_t n) -> Turn {
    return [l = learner(n)] {
      (void)l->fit({.freeze = thaw::Unfrozen{}, .lr = thaw::DiscriminativeLR::slice(1e-6, 1e-3)});
    };
  });
  return groups.panel();
}

/// A model of so many parameters, in tensors of at most a quarter of a million, with gradients and an optimizer that
/// has its state.
struct Weights {
  struct Model : torch::nn::Module {
    explicit Model(std::int64_t n) {
      for (std::int64_t i = 0; n > 0; ++i, n -= at_most)
        register_parameter("weight" + std::to_string(i), at::full({std::min(n, at_most)}, 0.5));
      for (at::Tensor& parameter : parameters()) parameter.mutable_grad() = at::full_like(parameter, 0.1);
    }
    static constexpr std::int64_t at_most = 250'000;
  };

  explicit Weights(std::int64_t n)
      : model(std::make_shared<Model>(n)), groups(thaw::LayerGroups::per_child(model)), optimizer(groups) {
    optimizer.step();
  }

  /// The kernel alone, on the same memory.
  void bare_step() {
    const c10::NoGradGuard no_grad;
    std::vector<at::Tensor> parameters, gradients, first, second, steps;
    for (const at::Tensor& parameter : model->parameters()) {
      auto& state = static_cast<torch::optim::AdamWParamState&>(*optimizer.state().at(parameter.unsafeGetTensorImpl()));
      parameters.push_back(parameter);
      gradients.push_back(parameter.grad());
      first.push_back(state.exp_avg());
      second.push_back(state.exp_avg_sq());
      steps.push_back(at::full({}, 2.0));
    }
    at::_fused_adamw_(parameters, gradients, first, second, /*max_exp_avg_sqs=*/{}, steps, /*lr=*/1e-3, /*beta1=*/0.9,
                      /*beta2=*/0.999, /*weight_decay=*/0.01, /*eps=*/1e-8, /*amsgrad=*/false, /*maximize=*/false);
  }

  std::shared_ptr<Model> model;
  thaw::LayerGroups groups;
  thaw::AdamW optimizer;
};

thaw::Panel by_parameters(bool quick, bench::Report& report) {
  std::vector<double> sizes{1e4, 3e4, 1e5, 3e5, 1e6, 3e6, 1e7};
  if (!quick) sizes.insert(sizes.end(), {3e7, 1e8});
  Quantity parameters("parameters", sizes, quick ? 3 : 5, report);
  std::map<std::int64_t, std::shared_ptr<Weights>> made;
  const auto weights = [&](std::int64_t n) {
    auto& each = made[n];
    if (!each) each = std::make_shared<Weights>(n);
    return each;
  };
  parameters.add(
      "a step of AdamW", [&](std::int64_t n) -> Turn { return [w = weights(n)] { w->optimizer.step(); }; },
      [&](std::int64_t n) -> Turn { return [w = weights(n)] { w->bare_step(); }; });
  parameters.add("snapshot and restore", [&](std::int64_t n) -> Turn {
    return [w = weights(n)] { const thaw::Snapshot snapshot(*w->model, w->optimizer); };
  });
  return parameters.panel();
}

thaw::Panel by_rows(bool quick, bench::Report& report) {
  std::vector<double> sizes{1e3, 3e3, 1e4, 3e4, 1e5};
  if (!quick) sizes.insert(sizes.end(), {3e5, 1e6});
  Quantity data("rows of data", sizes, quick ? 3 : 7, report);
  data.add(
      "a pass of InMemory",
      [](std::int64_t n) -> Turn {
        return [source = rows(n, 64), epoch = 0]() mutable {
          thaw::BatchStream next = source.stream(epoch++);
          while (next()) {
          }
        };
      },
      [](std::int64_t n) -> Turn {
        return [input = at::randn({n, width}), target = at::randint(width, {n}, at::kLong)] {
          for (const at::Tensor& batch : at::randperm(input.size(0), at::kLong).split(64))
            (void)input.index_select(0, batch), (void)target.index_select(0, batch);
        };
      });
  data.add("a stage on cached features", [](std::int64_t n) -> Turn {
    auto model = network(6);
    auto learner = std::make_shared<thaw::Learner>(model, thaw::LayerGroups::cut_before(model, {"5"}),
                                                   thaw::cross_entropy, thaw::LearnerOptions{.train = rows(n, 256)});
    return [learner] {
      (void)learner->fit({.epochs = 2,
                          .freeze = thaw::FreezeTo{-1},
                          .lr = 1e-3,
                          .reset_optimizer = true,
                          .cache = thaw::Cache::memory});
    };
  });
  return data.panel();
}

thaw::Panel by_steps(bool quick, bench::Report& report) {
  std::vector<double> sizes{1e2, 3e2, 1e3, 3e3, 1e4};
  if (!quick) sizes.insert(sizes.end(), {3e4, 1e5});
  Quantity steps("steps", sizes, 3, report);
  const auto fit = [](std::int64_t epochs, std::int64_t batches) -> Turn {
    auto model = network(3);
    auto learner =
        std::make_shared<thaw::Learner>(model, thaw::LayerGroups::cut_before(model, {"2"}), thaw::cross_entropy,
                                        thaw::LearnerOptions{.train = rows(batches * batch_size)});
    return [=] {
      (void)learner->fit({.epochs = epochs, .freeze = thaw::Unfrozen{}, .lr = 1e-3, .schedule = thaw::OneCycle{}});
    };
  };
  steps.add("a fit in epochs of 100 steps", [&](std::int64_t n) { return fit(n / 100, 100); });
  steps.add("a fit of one epoch", [&](std::int64_t n) { return fit(1, n); });
  return steps.panel();
}

/// Takes `--svg FILE` out of the command line.
std::string take_svg(std::vector<char*>& words) {
  const auto found = std::ranges::find(words, std::string_view("--svg"));
  if (found == words.end() || found + 1 == words.end()) return {};
  std::string file = found[1];
  words.erase(found, found + 2);
  return file;
}

}  // namespace

int main(int count, char** given) {
  std::vector<char*> words(given, given + count);
  const std::string svg = take_svg(words);
  const bench::Arguments arguments(static_cast<int>(words.size()), words.data());
  at::set_num_threads(1);
  at::manual_seed(0);
  bench::Report report;
  const thaw::Figure figure{.title = "How thaw's own work grows",
                            .x = {.label = "layer groups, parameters, rows of data, steps", .log = true},
                            .panels = {by_groups(arguments.quick, report), by_parameters(arguments.quick, report),
                                       by_rows(arguments.quick, report), by_steps(arguments.quick, report)}};
  if (!svg.empty()) thaw::write_svg(figure, svg);
  report.finish(arguments);
}
