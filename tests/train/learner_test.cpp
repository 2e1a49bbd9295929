// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/train/learner.hpp>

#include <torch/optim/sgd.h>
#include <torch/serialize.h>

#include <ATen/ops/randint.h>
#include <ATen/ops/tensor.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <thaw/data/in_memory.hpp>
#include <thaw/groups/freeze_combine.hpp>
#include <thaw/train/loss.hpp>

#include "support/data.hpp"
#include "support/folder.hpp"
#include "support/nets.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;
using thaw::FreezeTo;
using thaw::LayerGroups;
using thaw::Learner;
using thaw::Unfrozen;
using thaw::test::any_starts_with;
using thaw::test::changed;
using thaw::test::state_of;
using thaw::test::TinyNet;

namespace {

thaw::InMemory samples(std::int64_t n, std::int64_t classes = 3, bool shuffle = true) {
  const at::Tensor target = at::randint(classes, {n}, at::kLong);
  return thaw::InMemory(
      {.input = 0.5 * at::randn({n, 4}) + target.unsqueeze(1), .target = target, .batch_size = 8, .shuffle = shuffle});
}

struct Trained {
  TinyNet net = (at::manual_seed(1), TinyNet());
  Learner learner{net,
                  LayerGroups::cut_before(net, {"body", "head"}),
                  thaw::cross_entropy,
                  {.train = samples(44), .valid = samples(20), .metrics = {thaw::accuracy()}}};
};

}  // namespace

TEST_CASE("fine_tune goes through fastai's rates, momenta and weights, step by step") {
  const auto runs = thaw::test::json_fixture("train/fine_tune.json")["runs"];
  for (const std::string name : {"plain_adam", "bn_adam_train_bn_false"}) {
    CAPTURE(name);
    const auto& run = runs[name];
    const bool norm = run["bn"];
    const auto tensor = [](const nlohmann::json& rows) {
      std::vector<at::Tensor> parts;
      for (const auto& row : rows) parts.push_back(at::tensor(row.get<std::vector<double>>(), at::kFloat));
      return at::stack(parts);
    };
    const auto matrix_or_vector = [&](const nlohmann::json& value) {
      return value.is_array() && value[0].is_array() ? tensor(value)
                                                     : at::tensor(value.get<std::vector<double>>(), at::kFloat);
    };
    struct NetImpl : torch::nn::Module {
      explicit NetImpl(bool with_norm) {
        for (const char* child : {"g0", "g1"}) {
          torch::nn::Sequential layers{torch::nn::Linear(child[1] == '0' ? 4 : 5, 5)};
          if (with_norm) layers->push_back(torch::nn::BatchNorm1d(5));
          body.push_back(register_module(child, layers));
        }
        head = register_module("g2", torch::nn::Linear(5, 3));
      }
      at::Tensor forward(const at::Tensor& x) { return head(body[1]->forward(body[0]->forward(x).relu()).relu()); }
      std::vector<torch::nn::Sequential> body;
      torch::nn::Linear head{nullptr};
    };
    const auto net = std::make_shared<NetImpl>(norm);
    {
      const c10::NoGradGuard no_grad;
      for (auto& parameter : net->named_parameters())
        parameter.value().copy_(matrix_or_vector(run["init"][parameter.key()]));
    }
    Learner learner{net,
                    LayerGroups::cut_before(net, {"g1", "g2"}),
                    thaw::cross_entropy,
                    {.train = thaw::InMemory({.input = tensor(run["x"]),
                                              .target = at::tensor(run["y"].get<std::vector<std::int64_t>>()),
                                              .batch_size = run["batch"]})}};
    learner.fine_tune(run["epochs"], run["base_lr"], {.norm = {.frozen = thaw::Norm::track}});

    const auto& steps = learner.history().steps;
    REQUIRE(steps.size() == run["steps"].size());
    for (std::size_t i = 0; i < steps.size(); ++i) {
      const auto& golden = run["steps"][i];
      const auto frozen_to = golden["frozen_to"].get<std::size_t>();
      for (std::size_t g = 0; g < 3; ++g) {
        if (g < frozen_to)
          CHECK(steps[i].lr[g] == 0);
        else
          CHECK_THAT(steps[i].lr[g], WithinRel(golden["lrs"][g].get<double>(), 1e-5));
      }
      CHECK_THAT(steps[i].momentum.value(), WithinRel(golden["moms"][0].get<double>(), 1e-5));
    }
    for (const auto& parameter : net->named_parameters()) {
      CAPTURE(parameter.key());
      CHECK(at::allclose(parameter.value(), matrix_or_vector(run["final"][parameter.key()]), 1e-5, 1e-6));
    }
  }
}

TEST_CASE("a stage trains what it thaws, leaves the rest bit-identical, and records every step") {
  Trained bench;
  const auto before = state_of(*bench.net);
  const auto record = bench.learner.fit({.name = "head", .epochs = 2, .freeze = FreezeTo{-1}, .lr = 1e-2});
  const auto moved = changed(before, *bench.net);
  CHECK_FALSE(any_starts_with(moved, "stem"));
  CHECK_FALSE(any_starts_with(moved, "body"));
  CHECK(any_starts_with(moved, "head"));

  CHECK(record.stage == "head");
  CHECK(record.epoch == 2);
  const auto& history = bench.learner.history();
  REQUIRE(history.steps.size() == 12);
  REQUIRE(history.epochs.size() == 2);
  CHECK(history.groups == std::vector<std::string>{"stem", "body", "head"});
  CHECK(history.stages[0].steps == 12);
  CHECK(history.stages[0].frozen == std::vector{true, true, false});
  CHECK(history.steps[3].lr[0] == 0);
  CHECK_THAT(history.steps[3].lr[2], WithinRel(1e-2, 1e-12));
  CHECK_THAT(history.steps[0].lr[2], WithinRel(1e-2 / 25, 1e-12));
  CHECK_THAT(history.steps[0].momentum.value(), WithinRel(0.95, 1e-12));
  CHECK(record.valid->metrics[0].name == "accuracy");
  CHECK(record.seconds > 0);

  // the mean over samples: five batches of 8 and one of 4
  double sum = 0;
  for (std::size_t i = 6; i < 12; ++i) sum += history.steps[i].loss * (i == 11 ? 4 : 8);
  CHECK_THAT(record.train_loss, WithinRel(sum / 44, 1e-6));
}

TEST_CASE("training in stages learns") {
  Trained bench;
  const double before = bench.learner.validate().loss;
  bench.learner.fit({.name = "head", .epochs = 3, .freeze = FreezeTo{-1}, .lr = 2e-2});
  const double head = bench.learner.validate().loss;
  bench.learner.fit(
      {.name = "all", .epochs = 8, .freeze = Unfrozen{}, .lr = thaw::DiscriminativeLR::slice(1e-3, 2e-2)});
  const auto all = bench.learner.validate();
  CHECK(head < before);
  CHECK(all.loss < head);
  CHECK(all.metrics[0].value > 0.6);
}

TEST_CASE("the same seed gives the same weights, bit for bit") {
  const auto train = [] {
    Trained bench;
    bench.learner.fit({.epochs = 2, .freeze = FreezeTo{1}});
    return state_of(*bench.net);
  };
  const auto once = train();
  Trained other;
  other.learner.fit({.epochs = 2, .freeze = FreezeTo{1}});
  CHECK(thaw::test::same_state(once, *other.net));
}

TEST_CASE("one more find_lr in between changes nothing: weights, order of the data, random numbers") {
  const auto train = [](bool find) {
    Trained bench;
    bench.learner.fit({.epochs = 1, .freeze = FreezeTo{-1}});
    bench.learner.unfreeze();
    if (find) CHECK(bench.learner.find_lr().lr.size() > 20);
    bench.learner.fit({.epochs = 2});
    return state_of(*bench.net);
  };
  const auto without = train(false), with = train(true);
  for (const auto& [name, value] : without) {
    CAPTURE(name);
    CHECK(at::equal(value, with.at(name)));
  }
}

TEST_CASE("what was thawed starts with fresh optimizer state, the state of the rest is kept, unless reset") {
  for (const bool reset : {false, true}) {
    Trained bench;
    bench.learner.fit({.epochs = 1, .freeze = Unfrozen{}});
    bench.learner.fit({.epochs = 1, .freeze = FreezeTo{-1}});
    bench.learner.fit({.epochs = 1, .freeze = Unfrozen{}, .reset_optimizer = reset});
    const auto steps_of = [&](const at::Tensor& parameter) {
      const auto& state = bench.learner.optimizer().state().at(parameter.unsafeGetTensorImpl());
      return static_cast<torch::optim::AdamWParamState&>(*state).step();
    };
    CHECK(steps_of(bench.net->stem->parameters()[0]) == 6);
    CHECK(steps_of(bench.net->head->weight) == (reset ? 6 : 18));
  }
}

TEST_CASE("a policy that changes within a stage thaws then, with the norm rule") {
  Trained bench;
  const auto gradual = [](const thaw::GroupRef& group, const thaw::Progress& at) {
    return group.index + static_cast<std::size_t>(at.epoch()) + 1 < group.count;
  };
  struct Frozen {
    std::vector<std::ptrdiff_t> at_epoch_begin = {}, at_epoch_end = {};
    void on_epoch_begin(const thaw::EpochBegin& event) {
      at_epoch_begin.push_back(std::ranges::count(event.learner.groups().frozen(), true));
    }
    void on_epoch_end(const thaw::EpochEnd& event) {
      at_epoch_end.push_back(std::ranges::count(event.learner.groups().frozen(), true));
    }
  } frozen;
  bench.learner.fit({.epochs = 3, .freeze = gradual}, std::ref(frozen));
  CHECK(frozen.at_epoch_begin == std::vector<std::ptrdiff_t>{2, 1, 0});  // as they will be trained
  CHECK(frozen.at_epoch_end == std::vector<std::ptrdiff_t>{2, 1, 0});    // as they were trained
  const auto& steps = bench.learner.history().steps;
  CHECK((steps[5].lr[1] == 0 && steps[6].lr[1] > 0));
  CHECK((steps[11].lr[0] == 0 && steps[12].lr[0] > 0));
  CHECK(bench.learner.groups().frozen() == std::vector{false, false, false});
}

TEST_CASE("freeze and unfreeze last until told otherwise") {
  Trained bench;
  bench.learner.freeze();
  const auto before = state_of(*bench.net);
  bench.learner.fit({.epochs = 1});
  CHECK_FALSE(any_starts_with(changed(before, *bench.net), "body"));
  bench.learner.freeze_to(1);
  bench.learner.fit({.epochs = 1});
  CHECK(any_starts_with(changed(before, *bench.net), "body"));
  CHECK_FALSE(any_starts_with(changed(before, *bench.net), "stem"));
  bench.learner.unfreeze(thaw::hold_everywhere);
  bench.learner.fit({.epochs = 1});
  CHECK(any_starts_with(changed(before, *bench.net), "stem.0"));
  CHECK_FALSE(any_starts_with(changed(before, *bench.net), "stem.1.running_mean"));
}

TEST_CASE("validate weighs an uneven last batch rightly; predict gives what the model gives") {
  Trained bench;
  const at::Tensor input = at::randn({20, 4}), target = at::randint(3, {20}, at::kLong);
  const auto evaluation = bench.learner.validate(thaw::InMemory({.input = input, .target = target, .batch_size = 8}));
  const at::Tensor output = bench.learner.predict(input);
  CHECK_FALSE(output.requires_grad());
  CHECK_THAT(evaluation.loss, WithinRel(at::cross_entropy_loss(output, target).item<double>(), 1e-5));
  CHECK_THAT(evaluation.metrics[0].value,
             WithinAbs(output.argmax(1).eq(target).to(at::kDouble).mean().item<double>(), 1e-12));
  const at::Tensor all =
      bench.learner.predict(thaw::DataSource(thaw::InMemory({.input = input, .target = target, .batch_size = 8})));
  CHECK(at::allclose(all, output, 1e-5, 1e-6));
}

TEST_CASE("data() goes on from the same weights with other data") {
  Trained bench;
  bench.learner.fit({.epochs = 1});
  bench.learner.data({.train = samples(16), .valid = {}});
  const auto record = bench.learner.fit({.epochs = 1});
  CHECK(bench.learner.history().steps.size() == 8);
  CHECK_FALSE(record.valid.has_value());
}

TEST_CASE("any LibTorch optimizer will do") {
  TinyNet net;
  Learner learner{net,
                  LayerGroups::cut_before(net, {"head"}),
                  thaw::cross_entropy,
                  {.train = samples(16), .optimizer = [](const LayerGroups& groups) {
                     return std::make_unique<torch::optim::SGD>(thaw::param_groups(groups),
                                                                torch::optim::SGDOptions(1).momentum(0.9));
                   }}};
  learner.fit({.epochs = 1, .lr = thaw::DiscriminativeLR::each({1e-3, 1e-2}), .schedule = thaw::Constant{}});
  CHECK(learner.history().steps[0].lr == std::vector{1e-3, 1e-2});
  CHECK(learner.history().steps[0].momentum == 0.9);
}

// ---- save and load ----

TEST_CASE("save and load bring weights, statistics and optimizer state back, bit for bit") {
  const thaw::test::Folder folder;
  const auto path = folder / "learner.pt";
  Trained bench;
  bench.learner.fit({.epochs = 1, .freeze = Unfrozen{}});
  bench.learner.save(path);
  const auto saved = state_of(*bench.net);
  bench.learner.fit({.epochs = 1});
  const auto after = state_of(*bench.net);

  Trained other;
  other.learner.fit({.epochs = 1, .freeze = Unfrozen{}, .lr = 1});  // elsewhere, but at the same place in the data
  other.learner.load(path);
  CHECK(thaw::test::same_state(saved, *other.net));
  other.learner.fit({.epochs = 1});
  CHECK(thaw::test::same_state(after, *other.net));
}

TEST_CASE("saving replaces the file whole, and leaves nothing beside it") {
  const thaw::test::Folder folder;
  std::filesystem::create_directory(folder / "a.pt.part");  // a name that another program may use
  Trained bench;
  bench.learner.save(folder / "a.pt");
  bench.learner.save(folder / "a.pt");
  bench.learner.load(folder / "a.pt");
  CHECK(folder.files() == 2);
}

TEST_CASE("trap 4: load refuses a file of another shape, names every difference, and changes nothing") {
  const thaw::test::Folder folder;
  const auto path = folder / "learner.pt";
  Trained bench;
  bench.learner.save(path);
  TinyNet wide(10);
  Learner learner{
      wide, LayerGroups::cut_before(wide, {"body", "head"}), thaw::cross_entropy, {.train = samples(16, 10)}};
  const auto before = state_of(*wide);
  CHECK_THROWS_WITH(learner.load(path), ContainsSubstring("head.weight is [3, 5], the model's is [10, 5]") &&
                                            ContainsSubstring("head.bias is [3], the model's is [10]"));
  CHECK(thaw::test::same_state(before, *wide));

  TinyNet plain(3, /*norm=*/false);
  Learner other{plain, LayerGroups::cut_before(plain, {"body", "head"}), thaw::cross_entropy, {.train = samples(16)}};
  CHECK_THROWS_WITH(other.load(path),
                    ContainsSubstring("stem.2 is unexpected") || ContainsSubstring("stem.1.weight is unexpected"));
}

TEST_CASE("a file that is missing, damaged or of another kind is a FileError with its name") {
  Trained bench;
  const thaw::test::Folder folder;
  const auto path = folder / "damaged.pt";
  CHECK_THROWS_AS(bench.learner.load("/no/such/file.pt"), thaw::FileError);
  CHECK_THROWS_WITH(bench.learner.save("/no/such/folder/file.pt"),
                    ContainsSubstring("/no/such/folder/file.pt: cannot be created: No such file"));
  bench.learner.save(path);
  std::filesystem::resize_file(path, std::filesystem::file_size(path) / 2);
  CHECK_THROWS_WITH(bench.learner.load(path), ContainsSubstring("damaged.pt"));
  CHECK_THROWS_AS(bench.learner.load(path), thaw::FileError);
}

TEST_CASE("load says which tensors and modules a file lacks, and asks for none of a module without any") {
  const thaw::test::Folder folder;
  const auto learner_of = [](const torch::nn::Sequential& net) {
    return Learner(net, LayerGroups::per_child(net), thaw::cross_entropy, {.train = samples(16)});
  };
  const torch::nn::Sequential saved(torch::nn::Linear(torch::nn::LinearOptions(4, 3).bias(false)));
  learner_of(saved).save(folder / "a.pt");

  const torch::nn::Sequential longer(torch::nn::Linear(4, 3), torch::nn::ReLU(), torch::nn::Linear(3, 3));
  Learner refusing = learner_of(longer);
  const auto before = state_of(*longer);
  CHECK_THROWS_WITH(refusing.load(folder / "a.pt"),
                    ContainsSubstring("a.pt: does not fit the model: 0.bias is missing, 2 is missing") &&
                        ContainsSubstring("build the model as it was when the file was written"));
  CHECK(thaw::test::same_state(before, *longer));

  const torch::nn::Sequential same(torch::nn::Linear(torch::nn::LinearOptions(4, 3).bias(false)), torch::nn::ReLU());
  Learner(same, LayerGroups::cut_at(same, {}), thaw::cross_entropy, {.train = samples(16)}).load(folder / "a.pt");
  CHECK(thaw::test::same_state(state_of(*saved), *same));
}

TEST_CASE("a file of a model without its optimizer, as torch::save writes, is refused by load") {
  const thaw::test::Folder folder;
  Trained bench;
  torch::save(bench.net, (folder / "model.pt").string());
  const auto before = state_of(*bench.net);
  CHECK_THROWS_WITH(bench.learner.load(folder / "model.pt"),
                    ContainsSubstring("model.pt: does not fit the model: it has no \"model\" and \"optimizer\"") &&
                        ContainsSubstring("thaw::load_weights"));
  CHECK(thaw::test::same_state(before, *bench.net));
}

TEST_CASE("what LibTorch cannot write is an error that names the file, and the old file stays") {
  struct Unwritable : torch::optim::SGD {
    using SGD::SGD;
    void save(torch::serialize::OutputArchive&) const override { TORCH_CHECK(false, "no state to write"); }
  };
  const thaw::test::Folder folder;
  std::ofstream(folder / "a.pt") << "old";
  TinyNet net;
  Learner learner{net,
                  LayerGroups::cut_before(net, {"head"}),
                  thaw::cross_entropy,
                  {.train = samples(16), .optimizer = [](const LayerGroups& groups) {
                     return std::make_unique<Unwritable>(thaw::param_groups(groups), torch::optim::SGDOptions(1));
                   }}};
  CHECK_THROWS_AS(learner.save(folder / "a.pt"), thaw::FileError);
  CHECK_THROWS_WITH(learner.save(folder / "a.pt"), ContainsSubstring("a.pt: cannot be written: no state to write\n") &&
                                                       ContainsSubstring("that torch::save can write"));
  CHECK(thaw::test::text_of(folder / "a.pt") == "old");
  CHECK(folder.files() == 1);
}

// ---- bad input ----

TEST_CASE("a stage that cannot be carried out is refused before anything changes") {
  Trained bench;
  const auto before = state_of(*bench.net);
  const auto refuses = [&](const thaw::Stage& stage, const std::string& text) {
    CHECK_THROWS_WITH(bench.learner.fit(stage), ContainsSubstring(text));
  };
  refuses({.lr = thaw::DiscriminativeLR::each({1e-3, 1e-2})}, "2 rates for 3 layer groups");
  refuses({.freeze = FreezeTo{3}}, "there are 3 layer groups");
  refuses({.epochs = 0}, "0 epochs");
  refuses({.schedule = thaw::OneCycle{.pct_start = 2}}, "pct_start");
  refuses({.name = "ice", .freeze = [](const thaw::GroupRef&, const thaw::Progress&) { return true; }},
          "stage \"ice\": every parameter is frozen");
  CHECK(thaw::test::same_state(before, *bench.net));
  CHECK(bench.learner.history().steps.empty());
  CHECK(bench.learner.groups().frozen() == std::vector{false, false, false});
}

TEST_CASE("trap 5: a model with nothing to train is refused before it gets to backward(), which throws") {
  TinyNet net;
  for (at::Tensor parameter : net->parameters()) parameter.set_requires_grad(false);
  CHECK_THROWS_AS(net->forward(at::randn({8, 4})).sum().backward(), c10::Error);  // LibTorch's trap, shown
  Learner learner{net, LayerGroups::cut_before(net, {"body", "head"}), thaw::cross_entropy, {.train = samples(16)}};
  CHECK_THROWS_WITH(learner.fit({.epochs = 1}), ContainsSubstring("nothing to train"));
  CHECK_THROWS_WITH(learner.fit({.freeze = Unfrozen{}}), ContainsSubstring("nothing to train"));
  CHECK(learner.history().steps.empty());
}

TEST_CASE("trap 11: freeze() with one layer group is an error, not silence") {
  TinyNet net;
  Learner learner{net, LayerGroups::cut_before(net, {}), thaw::cross_entropy, {.train = samples(16)}};
  CHECK_THROWS_WITH(learner.freeze(), ContainsSubstring("there is one layer group"));
  CHECK_THROWS_WITH(learner.fine_tune(1), ContainsSubstring("there is one layer group"));
  for (const auto& parameter : net->parameters()) CHECK(parameter.requires_grad());
}

TEST_CASE("trap 11: one-cycle goes on across an unfreeze within the stage, where Lightning's fails") {
  Trained bench;  // 6 steps per epoch
  bench.learner.fit({.epochs = 3, .freeze = thaw::until(1, FreezeTo{-1}, FreezeTo{1}), .lr = 1e-2});
  const auto& steps = bench.learner.history().steps;
  REQUIRE(steps.size() == 18);
  for (std::size_t i = 0; i < steps.size(); ++i) {
    CAPTURE(i);
    const thaw::ScheduleValue value = thaw::OneCycle{}(static_cast<double>(i) / 18);
    CHECK_THAT(steps[i].lr[2], WithinRel(1e-2 * value.lr, 1e-12));
    CHECK_THAT(steps[i].lr[1], WithinRel(i < 6 ? 0.0 : 1e-2 * value.lr, 1e-12));
    CHECK(steps[i].lr[0] == 0);
    CHECK_THAT(steps[i].momentum.value(), WithinRel(value.momentum.value(), 1e-12));
  }
}

TEST_CASE("bad data is refused before training: none, empty, labels out of range") {
  TinyNet net;
  const auto make = [&](thaw::LearnerOptions options) {
    return Learner(net, LayerGroups::cut_before(net, {"head"}), thaw::cross_entropy, std::move(options));
  };
  const auto before = state_of(*net);
  CHECK_THROWS_AS(make({}).fit({}), thaw::DataError);
  CHECK_THROWS_AS(make({.train = std::vector<thaw::Batch>{}}).fit({}), thaw::DataError);
  CHECK_THROWS_AS(make({.train = samples(16), .valid = std::vector<thaw::Batch>{}}).fit({}), thaw::DataError);
  CHECK_THROWS_AS(make({.train = samples(16)}).validate(), thaw::DataError);
  // the bad label is in the last batch of all, yet is seen first
  at::Tensor target = at::zeros({16}, at::kLong);
  target[15] = 3;
  CHECK_THROWS_WITH(
      make({.train = thaw::InMemory({.input = at::randn({16, 4}), .target = target, .batch_size = 4})}).fit({}),
      ContainsSubstring("there is a label 3, but the model's output has 3 classes"));
  CHECK_THROWS_AS(make({.train = samples(16), .valid = samples(160, 9)}).fit({}), thaw::DataError);
  CHECK(thaw::test::same_state(before, *net));
}

TEST_CASE("a bad label that only streaming shows still gets the clear message") {
  TinyNet net;
  std::vector<thaw::Batch> batches{{at::randn({4, 4}), at::zeros({4}, at::kLong)},
                                   {at::randn({4, 4}), at::full({4}, 7, at::kLong)}};
  Learner learner{net, LayerGroups::cut_before(net, {"head"}), thaw::cross_entropy, {.train = batches}};
  CHECK_THROWS_WITH(learner.fit({}), ContainsSubstring("there is a label 7"));
}

TEST_CASE("groups of another model, and a loss that is no scalar, are refused") {
  TinyNet net, other;
  const auto groups = LayerGroups::cut_before(other, {"head"});
  CHECK_THROWS_AS(Learner(net, groups, thaw::cross_entropy, {}), thaw::ConfigError);
  Learner learner{net,
                  LayerGroups::cut_before(net, {"head"}),
                  [](const at::Tensor& output, const at::Tensor&) { return output; },
                  {.train = samples(16)}};
  CHECK_THROWS_WITH(learner.fit({}), ContainsSubstring("24 values"));
}

TEST_CASE("a file's optimizer is refused where it is another one or has other groups; its weights can be had alone") {
  const thaw::test::Folder folder;
  const auto path = folder / "learner.pt";
  struct FourImpl : torch::nn::Module {
    FourImpl() {
      for (const char* name : {"a", "b", "c", "d"})
        layers.push_back(register_module(name, torch::nn::Linear(torch::nn::LinearOptions(3, 3).bias(false))));
    }
    at::Tensor forward(at::Tensor x) {
      for (auto& layer : layers) x = layer(x);
      return x;
    }
    std::vector<torch::nn::Linear> layers;
  };
  using Cut = std::vector<std::vector<thaw::ModuleRef>>;
  using MakeOptimizer = std::function<std::unique_ptr<torch::optim::Optimizer>(const LayerGroups&)>;
  const auto data = thaw::InMemory({.input = at::randn({8, 3}), .target = at::zeros({8}, at::kLong)});
  const auto learner_of = [&](const std::shared_ptr<FourImpl>& net, bool crossed, const MakeOptimizer& make) {
    auto& l = net->layers;
    const Cut groups = crossed ? Cut{{l[0], l[2]}, {l[1], l[3]}} : Cut{{l[0], l[1]}, {l[2], l[3]}};
    return Learner(net, LayerGroups::of_modules(net, groups), thaw::cross_entropy, {.train = data, .optimizer = make});
  };
  const auto adamw = [](const LayerGroups& groups) { return std::make_unique<thaw::AdamW>(groups); };
  const auto adam = [](const LayerGroups& groups) {
    return std::make_unique<torch::optim::Adam>(thaw::param_groups(groups), torch::optim::AdamOptions(1e-3));
  };
  const auto sgd = [](const LayerGroups& groups) {
    return std::make_unique<torch::optim::SGD>(thaw::param_groups(groups), torch::optim::SGDOptions(1e-3));
  };
  const auto saved = std::make_shared<FourImpl>();
  Learner first = learner_of(saved, true, adamw);
  first.fit({.epochs = 1});
  first.save(path);

  const auto refused = [&](bool crossed, const MakeOptimizer& make) {
    const auto net = std::make_shared<FourImpl>();
    Learner learner = learner_of(net, crossed, make);
    const auto before = state_of(*net);
    try {
      learner.load(path);
    } catch (const thaw::FileError& error) {
      CHECK(thaw::test::same_state(before, *net));
      CHECK(learner.optimizer().state().empty());
      CHECK_THAT(error.what(),
                 ContainsSubstring("thaw::load_weights(model, \"" + path.string() + "\", {.prefix = \"model.\"})"));
      return std::string(error.what());
    }
    CHECK(thaw::test::same_state(state_of(*saved), *net));
    return std::string();
  };
  CHECK(refused(true, adamw).empty());
  CHECK_THAT(refused(false, adamw), ContainsSubstring("its optimizer has other groups: it holds \"c.weight\" in group "
                                                      "0 where the one here holds \"b.weight\" in group 0"));
  CHECK_THAT(refused(true, adam), ContainsSubstring("its optimizer is another one: it has AdamWOptions, here it is "
                                                    "AdamOptions"));
  CHECK_THAT(refused(true, sgd), ContainsSubstring("here it is SGDOptions") && !ContainsSubstring("INTERNAL ASSERT"));
}

TEST_CASE("load refuses numbers that the model's type cannot hold, and names their tensor") {
  const thaw::test::Folder folder;
  const auto learner_of = [](const TinyNet& net) {
    return Learner(net, LayerGroups::cut_before(net, {"head"}), thaw::cross_entropy, {.train = samples(16)});
  };
  const TinyNet wide, narrow;
  wide->head->weight.set_data(at::full_like(wide->head->weight, 1e300, at::kDouble));
  learner_of(wide).save(folder / "a.pt");
  Learner learner = learner_of(narrow);
  const auto before = state_of(*narrow);
  CHECK_THROWS_WITH(learner.load(folder / "a.pt"),
                    ContainsSubstring("head.weight is Double, the model's is Float, in which some"));
  CHECK(thaw::test::same_state(before, *narrow));
}

TEST_CASE("a null model, and an optimizer that is null, are errors that say so") {
  const TinyNet net, null{nullptr};
  const LayerGroups groups = LayerGroups::cut_before(net, {"head"});
  CHECK_THROWS_WITH(Learner(null, groups, thaw::cross_entropy, {.train = samples(16)}),
                    ContainsSubstring("model: it is null"));
  CHECK_THROWS_WITH(
      Learner(net, groups, thaw::cross_entropy,
              {.train = samples(16), .optimizer = [](const LayerGroups&) { return std::unique_ptr<thaw::AdamW>(); }}),
      ContainsSubstring("LearnerOptions::optimizer: the function returned no optimizer"));
}
