// SPDX-License-Identifier: BSD-3-Clause
// What planning.py fits its cost model to, as lines of JSON.
//
//   build/bench/benchmarks/planning table                          sizes and operations of networks, by layer group
//   build/bench/benchmarks/planning messages [LINK]                sums over all processes, by their bytes
//   build/bench/benchmarks/planning steps NETWORK [LINK] [K...]    steps of the Learner with the last K groups thawed
//   build/bench/benchmarks/planning cached NETWORK [LINK]          steps of a head on kept features
//   build/bench/benchmarks/planning counts                         what a Learner asks the other processes, and when
//
// All but the first want torchrun or the like for several processes; planning.sh starts them all, also over links of
// its own making. One thread each. Of each time the least and the lower quartile are given: what else the machine does
// only ever adds.

#include "bench.hpp"

#include <ATen/Parallel.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <ATen/record_function.h>
#include <c10/core/Allocator.h>
#include <c10/core/GradMode.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <thaw/checkpoint/checkpoint.hpp>
#include <thaw/distributed/data_parallel.hpp>
#include <thaw/models/bert.hpp>
#include <thaw/models/deit.hpp>
#include <thaw/models/heads.hpp>
#include <thaw/models/resnet.hpp>
#include <thaw/models/vit.hpp>
#include <thaw/thaw.hpp>
#include <thaw/train/nan_guard.hpp>
#include <unordered_map>
#include <utility>
#include <vector>

namespace {

using nlohmann::json;
using thaw::LayerGroups;
using thaw::distributed::Processes;

constexpr std::int64_t classes = 10;

void print(const json& row) {
  fmt::print("{}\n", row.dump()), std::fflush(stdout);
}

/// {"least": , "quartile": , "times": } of seconds.
json summary(std::vector<double> seconds) {
  std::ranges::sort(seconds);
  return {{"least", seconds.front()}, {"quartile", seconds[seconds.size() / 4]}, {"times", seconds.size()}};
}

/// A network, cut into groups at the stages of its body.
struct Case {
  LayerGroups groups;
  thaw::detail::Task task;
  std::function<thaw::Learner(thaw::LearnerOptions)> learner;
  thaw::ForwardPart::Tensors one;  ///< the inputs of one sample
};

template <class Model>
Case make_case(Model model, LayerGroups groups, thaw::ForwardPart::Tensors one) {
  return {.groups = groups,
          .task = thaw::detail::make_task(model, thaw::cross_entropy),
          .learner =
              [=](thaw::LearnerOptions options) {
                return thaw::Learner{model, groups, thaw::cross_entropy, std::move(options)};
              },
          .one = std::move(one)};
}

/// Of `size` pixels, or tokens.
Case make_case(const std::string& name, std::int64_t size) {
  const auto quarters = [](std::int64_t depth, const auto& block, const std::string& head) {
    std::vector<std::string> cuts;
    for (std::int64_t i = 0; i < 4; ++i) cuts.push_back(block((i * depth + 3) / 4));
    cuts.push_back(head);
    return cuts;
  };
  at::manual_seed(1);
  const auto bert = [&](thaw::models::BertForSequenceClassification model) {
    const auto block = [](std::int64_t i) { return fmt::format("bert.encoder.layer.{}", i); };
    return make_case(model, LayerGroups::cut_before(model, quarters(model->options.depth, block, model->head_name())),
                     {at::randint(1, 1000, {1, size}, at::kLong), at::ones({1, size}, at::kLong)});
  };
  const auto vit = [&](thaw::models::VisionTransformer model) {
    const auto block = [&](std::int64_t i) { return model->block_name(i); };
    return make_case(model, LayerGroups::cut_before(model, quarters(model->options.depth, block, model->head_name())),
                     {at::randn({1, 3, size, size})});
  };
  if (name == "vit_b_16") return vit(thaw::models::vit_b_16({.classes = classes}));
  if (name == "deit_tiny") return vit(thaw::models::deit_tiny_patch16_224({.classes = classes}));
  if (name == "bert_base") return bert(thaw::models::bert_base({.classes = classes}));
  if (name == "minilm_l6") return bert(thaw::models::minilm_l6({.classes = classes}));
  if (name != "resnet34")
    throw thaw::ConfigError("planning", "there is no network " + name,
                            "give resnet34, vit_b_16, deit_tiny, bert_base or minilm_l6");
  auto model = thaw::models::resnet34();
  thaw::models::replace_head(model, thaw::models::linear_head(model->head_features(), classes, /*dropout=*/0));
  return make_case(model, LayerGroups::cut_before(model, {"layer1", "layer2", "layer3", "layer4", "head"}),
                   {at::randn({1, 3, size, size})});
}

/// So many samples like `one`.
thaw::Fields samples_like(const thaw::ForwardPart::Tensors& one, std::int64_t n) {
  thaw::ForwardPart::Tensors all;
  for (const at::Tensor& each : one) {
    std::vector<std::int64_t> times(static_cast<std::size_t>(each.dim()), 1);
    times[0] = n;
    all.push_back(each.repeat(times));
  }
  return all;
}

/// The last `thawed` groups, and the norms of the others held.
thaw::AnyFreezePolicy last(std::size_t thawed, const LayerGroups& groups) {
  if (thawed >= groups.size()) return thaw::Unfrozen{};
  return thaw::FreezeTo{-static_cast<int>(thawed)};
}

// ---- sizes and operations ----

/// Counts the floating-point operations of convolutions, linear layers and attention as they run in this thread: two
/// for each product that is added. Attention counts to the weight before it.
class Operations {
 public:
  Operations() {
    here() = this;
    handle_ = at::addThreadLocalCallback(at::RecordFunctionCallback(
                                             [](const at::RecordFunction& f) {
                                               here()->begin(f);
                                               return std::unique_ptr<at::ObserverContext>();
                                             },
                                             [](const at::RecordFunction& f, at::ObserverContext*) { here()->end(f); })
                                             .needsInputs(true)
                                             .needsOutputs(true)
                                             .scopes({at::RecordScope::FUNCTION}));
  }
  ~Operations() { at::removeCallback(handle_), here() = nullptr; }
  Operations(const Operations&) = delete;
  Operations& operator=(const Operations&) = delete;

  [[nodiscard]] double of(const at::Tensor& weight) const {
    const auto found = count_.find(weight.storage().data());
    return found == count_.end() ? 0 : found->second;
  }

 private:
  static Operations*& here() {
    thread_local Operations* of_thread = nullptr;
    return of_thread;
  }
  /// Of the weight among its inputs; -1: it is no product that counts. Linear layers come as mm or addmm.
  static int place_of_weight(std::string_view name) {
    return name == "aten::convolution" || name == "aten::mm" ? 1 : name == "aten::addmm" ? 2 : -1;
  }
  void begin(const at::RecordFunction& f) {  // inputs are gone at its end
    const std::string_view name = f.name();
    if (const int at = place_of_weight(name); at >= 0) {
      weights_.push_back(f.inputs()[static_cast<std::size_t>(at)].toTensor());
    } else if (name == "aten::scaled_dot_product_attention" && last_ != nullptr) {
      const at::Tensor &q = f.inputs()[0].toTensor(), &k = f.inputs()[1].toTensor();  // [N, heads, tokens, width]
      count_[last_] += 4.0 * static_cast<double>(q.numel() * k.size(-2));
    }
  }
  void end(const at::RecordFunction& f) {
    const int at = place_of_weight(f.name());
    if (at < 0) return;
    const at::Tensor weight = weights_.back();
    weights_.pop_back();
    last_ = weight.storage().data();  // of which a linear layer takes a view
    const std::int64_t terms =
        std::string_view(f.name()) == "aten::convolution" ? weight.numel() / weight.size(0) : weight.size(0);
    count_[last_] += 2.0 * static_cast<double>(f.outputs()[0].toTensor().numel() * terms);
  }

  at::CallbackHandle handle_{};
  std::unordered_map<const void*, double> count_;
  std::vector<at::Tensor> weights_;
  const void* last_ = nullptr;
};

/// The bytes of tensors that this thread made and has not given back since.
class Bytes {
 public:
  [[nodiscard]] std::int64_t now() const { return info_->sum; }

 private:
  struct Info : c10::MemoryReportingInfoBase {
    std::int64_t sum = 0;
    void reportMemoryUsage(void*, std::int64_t size, std::size_t, std::size_t, c10::Device) override { sum += size; }
    void reportOutOfMemory(std::int64_t, std::size_t, std::size_t, c10::Device) override {}
    [[nodiscard]] bool memoryProfilingEnabled() const override { return true; }
  };
  std::shared_ptr<Info> info_ = std::make_shared<Info>();
  c10::DebugInfoGuard guard_{c10::DebugInfoKind::PROFILER_STATE, info_};
};

std::int64_t bytes_of(const thaw::Fields& fields) {
  std::int64_t sum = 0;
  for (const at::Tensor& each : fields) sum += static_cast<std::int64_t>(each.nbytes());
  return sum;
}

/// Sizes of a network: parameters in their order, each with its group, its numbers and the operations of its forward
/// pass for one sample; and by thawed groups the bytes a sample that backward needs, and of a kept feature.
json table_row(const std::string& name, std::int64_t size) {
  Case net = make_case(name, size);
  json row{{"what", "network"}, {"network", name}, {"size", size}, {"parameters", json::array()}};
  {
    const c10::NoGradGuard no_grad;
    net.groups.eval();
    const Operations operations;
    (void)net.task.forward(net.one);
    for (std::size_t i = 0; i < net.groups.size(); ++i)
      for (const thaw::GroupParameter& each : net.groups[i].parameters)
        row["parameters"].push_back({i, each.tensor.numel(), operations.of(each.tensor)});
  }
  for (const thaw::LayerGroup& group : net.groups) {
    row["groups"].push_back(group.name);
    std::int64_t channels = 0;
    for (const auto& layer : group.norms)
      if (const at::Tensor* mean = layer->named_buffers().find("running_mean")) channels += mean->numel();
    row["norms"].push_back({group.norms.size(), channels});
  }
  constexpr std::int64_t n = 4;
  const thaw::Fields inputs = samples_like(net.one, n);
  for (std::size_t thawed = 1; thawed <= net.groups.size(); ++thawed) {
    (void)thaw::apply(last(thawed, net.groups), net.groups);
    net.groups.train();
    const Bytes bytes;
    const thaw::Fields output = net.task.forward(inputs);
    row["kept"].push_back((bytes.now()) / n);
  }
  (void)thaw::apply(last(1, net.groups), net.groups);
  net.groups.train();
  thaw::detail::TensorSet moving;
  thaw::detail::add_moving(moving, net.groups, net.groups.frozen(), net.groups.norm_rule());
  const thaw::FrozenSplit split = thaw::detail::split_at_first_moving(net.task.parts(), moving, inputs);
  row["feature"] = bytes_of(split.features(inputs)) / n;
  row["input"] = bytes_of(inputs) / n;
  return row;
}

void table() {
  for (const char* name : {"resnet34", "vit_b_16", "deit_tiny"}) print(table_row(name, 224));
  for (const char* name : {"minilm_l6", "bert_base"}) print(table_row(name, 128));
}

// ---- sums over all processes ----

void messages(const Processes& processes, const std::string& link) {
  const auto row = [&](std::int64_t bytes, at::ScalarType type, int times) {
    at::Tensor values = at::zeros({bytes / static_cast<std::int64_t>(c10::elementSize(type))}, type);
    for (int i = 0; i < 2; ++i) processes.sum(values);
    std::vector<double> seconds;
    for (int i = 0; i < times; ++i) seconds.push_back(bench::timed([&] { processes.sum(values); }));
    json result = summary(std::move(seconds));
    result.update({{"what", "sum"}, {"bytes", bytes}, {"processes", processes.size()}, {"link", link}});
    if (processes.rank() == 0) print(result);
  };
  row(40, at::kDouble, 1000);  // what World::all_reduce sends
  row(4, at::kFloat, 1000);    // a step's loss
  for (const std::int64_t kib : {4, 32, 256, 1024, 4096, 26'624})
    row(kib * 1024, at::kFloat, static_cast<int>(std::clamp<std::int64_t>(60'000 / kib, 7, 200)));
}

// ---- steps ----

/// What each step of a stage took, of the clock and of this process's processors.
class Clock {
 public:
  void on_stage_begin(const thaw::StageBegin&) const { *last_ = now(); }
  void on_epoch_begin(const thaw::EpochBegin& event) const {
    if (event.epoch == 1) first_pass_->push_back(now().first - last_->first);
    *last_ = now();
    *begins_ = true;
  }
  void on_step_end(const thaw::StepEnd&) const {
    const auto at = now();
    if (!std::exchange(*begins_, false)) {  // the first of an epoch makes its order, the first of a stage its buckets
      seconds_->push_back(at.first - last_->first);
      processor_->push_back(at.second - last_->second);
    }
    *last_ = at;
  }

  void clear() const { seconds_->clear(), processor_->clear(); }
  [[nodiscard]] double first_pass() const { return first_pass_->at(0); }
  void into(json& row) const {
    row.update(summary(*seconds_));
    row["processor"] = summary(*processor_)["least"];
  }

 private:
  static std::pair<double, double> now() {
    return {std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(),
            bench::cpu_seconds()};
  }
  using Seconds = std::vector<double>;
  std::shared_ptr<Seconds> seconds_ = std::make_shared<Seconds>(), processor_ = std::make_shared<Seconds>(),
                           first_pass_ = std::make_shared<Seconds>();
  std::shared_ptr<std::pair<double, double>> last_ = std::make_shared<std::pair<double, double>>();
  std::shared_ptr<bool> begins_ = std::make_shared<bool>(false);
};

std::int64_t size_of(const std::string& name) {
  return name == "resnet34" ? 96 : name == "minilm_l6" ? 64 : 224;
}
std::int64_t batch_of(const std::string& name) {
  return name == "resnet34" ? 8 : name == "minilm_l6" ? 16 : 2;
}

thaw::LearnerOptions options_of(const Case& net, const Processes& processes, std::int64_t batch, std::int64_t batches) {
  const std::int64_t all = batch * processes.size();
  return {.train = thaw::InMemory({.input = samples_like(net.one, all * batches),
                                   .target = at::randint(classes, {all * batches}, at::kLong),
                                   .batch_size = all}),
          .world = thaw::distributed::data_parallel(processes)};
}

json row_of(const char* what, const std::string& name, const Processes& processes, const std::string& link) {
  return {{"what", what},
          {"network", name},
          {"size", size_of(name)},
          {"batch", batch_of(name)},
          {"processes", processes.size()},
          {"link", link}};
}

/// The networks with the last groups thawed take turns.
void steps(const Processes& processes, const std::string& name, const std::string& link,
           std::vector<std::size_t> which) {
  constexpr std::int64_t batches = 3;
  constexpr int rounds = 3;
  if (which.empty())
    for (std::size_t i = 0; i < 6; ++i) which.push_back(i + 1);
  struct Side {
    Case net;
    thaw::Learner learner;
    Clock clock = {};
  };
  std::vector<std::unique_ptr<Side>> sides;
  for (std::size_t i = 0; i < which.size(); ++i) {
    Case net = make_case(name, size_of(name));
    thaw::Learner learner = net.learner(options_of(net, processes, batch_of(name), batches));
    sides.push_back(std::make_unique<Side>(std::move(net), std::move(learner)));
  }
  for (int round = 0; round <= rounds; ++round)
    for (std::size_t i = 0; i < which.size(); ++i) {
      Side& side = *sides[i];
      side.learner.fit({.freeze = last(which[i], side.net.groups), .lr = 1e-6}, side.clock);
      if (round == 0) side.clock.clear();  // c10d's Reducer has ordered its buckets now
    }
  for (std::size_t i = 0; i < which.size(); ++i) {
    json row = row_of("step", name, processes, link);
    row["thawed"] = which[i];
    sides[i]->clock.into(row);
    if (processes.rank() == 0) print(row);
  }
  if (processes.size() > 1 || which.back() < 6) return;
  std::int64_t numel = 0;  // the optimizer alone, on all parameters
  for (const at::Tensor& parameter : sides.back()->net.groups.module()->parameters()) {
    at::Tensor each = parameter;
    each.mutable_grad() = at::full_like(each, 1e-3), numel += each.numel();
  }
  std::vector<double> seconds;
  for (int i = 0; i < 20; ++i) seconds.push_back(bench::timed([&] { sides.back()->learner.optimizer().step(); }));
  json row = row_of("optimizer", name, processes, link);
  row["parameters"] = numel;
  row.update(summary(std::move(seconds)));
  print(row);
}

void cached(const Processes& processes, const std::string& name, const std::string& link) {
  constexpr std::int64_t batches = 8, epochs = 30;
  const Case net = make_case(name, size_of(name));
  thaw::Learner learner = net.learner(options_of(net, processes, batch_of(name), batches));
  const Clock clock;
  learner.fit({.epochs = epochs, .freeze = thaw::FreezeTo{-1}, .lr = 1e-6, .cache = thaw::Cache::memory}, clock);
  json row = row_of("cached", name, processes, link);
  clock.into(row);
  row["first_pass"] = clock.first_pass();
  row["samples"] = batches * batch_of(name);
  if (processes.rank() == 0) print(row);
}

// ---- what is asked ----

/// Asks the others in the place of another, and counts.
class Counting final : public thaw::World::Backend {
 public:
  struct Asked {
    std::int64_t sums = 0, gathers = 0, broadcasts = 0, bytes = 0;
  };
  Counting(thaw::World inner, Asked& asked) : inner_(std::move(inner)), asked_(&asked) {}

  [[nodiscard]] std::int64_t rank() const override { return inner_.rank(); }
  [[nodiscard]] std::int64_t size() const override { return inner_.size(); }
  void begin(const LayerGroups& groups, torch::optim::Optimizer& optimizer) override {
    inner_.backend()->begin(groups, optimizer);
  }
  void sum(at::Tensor& values) override {
    ++asked_->sums, asked_->bytes += static_cast<std::int64_t>(values.nbytes());
    inner_.backend()->sum(values);
  }
  [[nodiscard]] at::Tensor gather(const at::Tensor& values) override {
    ++asked_->gathers;
    return inner_.backend()->gather(values);
  }
  void broadcast(const std::vector<at::Tensor>& tensors, std::int64_t root) override {
    if (!tensors.empty()) ++asked_->broadcasts;
    inner_.backend()->broadcast(tensors, root);
  }
  void backward(const at::Tensor& loss) override { inner_.backend()->backward(loss); }
  [[nodiscard]] std::shared_ptr<void> in_forward(bool counts) override { return inner_.backend()->in_forward(counts); }
  [[nodiscard]] bool norm_sees_all() const override { return inner_.backend()->norm_sees_all(); }
  void step() override { inner_.backend()->step(); }
  [[nodiscard]] bool shards_optimizer() const override { return inner_.backend()->shards_optimizer(); }
  void keep_own_state() override { inner_.backend()->keep_own_state(); }

 private:
  thaw::World inner_;
  Asked* asked_;
};

void counts(const Processes& processes) {
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / fmt::format("thaw-planning-{}", processes.rank());
  const auto asked_in = [&](std::int64_t epochs, std::int64_t batches, const std::vector<thaw::Callback>& callbacks,
                            bool validates, bool cache) {
    std::filesystem::remove_all(folder);
    torch::nn::Sequential model(torch::nn::Linear(4, 4), torch::nn::Linear(4, 2));
    const std::int64_t n = 4 * processes.size() * batches;
    const thaw::InMemory data(
        {.input = at::zeros({n, 4}), .target = at::zeros({n}, at::kLong), .batch_size = n / batches});
    Counting::Asked asked;
    thaw::LearnerOptions options{
        .train = data,
        .callbacks = callbacks,
        .world = thaw::World(std::make_shared<Counting>(thaw::distributed::data_parallel(processes), asked))};
    if (validates) options.valid = data, options.metrics = {thaw::accuracy()};
    thaw::Learner learner{model, LayerGroups::cut_before(model, {"1"}), thaw::cross_entropy, std::move(options)};
    asked = {};
    thaw::Stage stage{.epochs = epochs, .freeze = thaw::FreezeTo{-1}, .lr = 1e-3};
    if (cache) stage.cache = thaw::Cache::memory;
    learner.fit(stage);
    return asked;
  };
  const auto row = [&](const std::string& name, const std::vector<thaw::Callback>& callbacks = {},
                       bool validates = false, bool cache = false) {
    const auto few = asked_in(2, 4, callbacks, validates, cache), more = asked_in(2, 5, callbacks, validates, cache),
               longer = asked_in(3, 4, callbacks, validates, cache);
    const std::int64_t a_step = (more.sums - few.sums) / 2;
    if (processes.rank() == 0)
      print({{"what", "asked"},
             {"callbacks", name},
             {"sums_a_step", a_step},
             {"bytes_a_step", (more.bytes - few.bytes) / 2},
             {"sums_an_epoch", longer.sums - few.sums - 4 * a_step},
             {"broadcasts_an_epoch", longer.broadcasts - few.broadcasts},
             {"sums_a_stage", few.sums - 8 * a_step - 2 * (longer.sums - few.sums - 4 * a_step)}});
  };
  row("none");
  row("validation with one metric", {}, true);
  row("cached features", {}, false, true);
  row("GradientClip", {thaw::GradientClip{1}});
  row("NaNGuard", {thaw::NaNGuard{}});
  row("Checkpoint", {thaw::Checkpoint{.dir = folder}});
  std::filesystem::remove_all(folder);
}

}  // namespace

int main(int argc, char** argv) try {
  at::set_num_threads(1);
  const std::vector<std::string> words(argv + 1, argv + argc);
  const auto word = [&](std::size_t i, const char* otherwise) { return i < words.size() ? words[i] : otherwise; };
  const auto processes = thaw::distributed::init();
  const std::string mode = word(0, "");
  std::vector<std::size_t> which;
  for (std::size_t i = 3; i < words.size(); ++i) which.push_back(std::stoul(words[i]));
  if (mode == "table")
    table();
  else if (mode == "messages")
    messages(processes, word(1, "loopback"));
  else if (mode == "steps")
    steps(processes, word(1, "resnet34"), word(2, "loopback"), which);
  else if (mode == "cached")
    cached(processes, word(1, "resnet34"), word(2, "loopback"));
  else if (mode == "counts")
    counts(processes);
  else
    fmt::print(stderr, "{} table | messages | steps | cached | counts: see benchmarks/planning.cpp\n", argv[0]);
  processes.barrier();
} catch (const std::exception& error) {
  fmt::print(stderr, "{}\n", error.what());
  std::fflush(stderr), std::_Exit(1);  // a process group whose peers are gone may wait for them in its destructor
}
