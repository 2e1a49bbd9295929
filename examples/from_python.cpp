// SPDX-License-Identifier: BSD-3-Clause
// A network that was made in Python, fine-tuned in C++, taken back to Python: from_python.py has the ten lines on
// either side. Its modules keep Python's names, so that layer groups, freezing and rates are said as for any other
// network.
//
//     python from_python.py make net.pt && from_python --weights net.pt --out . && python from_python.py check tuned.pt

#include <fmt/format.h>
#include <torch/script.h>

#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <thaw/groups/script_module.hpp>
#include <thaw/report/console.hpp>
#include <thaw/train/learner.hpp>
#include <thaw/train/loss.hpp>
#include <thaw/train/metric.hpp>

#include "cli.hpp"
#include "fashion_mnist.hpp"

namespace {

/// Gray images as the Python network takes them: [N, 1, 28, 28] in [0, 1].
thaw::InMemory images(const example::Common& options, const std::string& part, std::int64_t n) {
  const auto data = example::fashion_mnist(options.data / "fashion-mnist", part, n);
  return thaw::InMemory({.input = data.images.to(at::kFloat) / 255,
                         .target = data.labels,
                         .shuffle = part == "train",
                         .seed = options.seed});
}

void run(const example::Common& options) {
  const std::string file = options.weights.string();
  if (!std::filesystem::exists(file))
    throw std::runtime_error(fmt::format("{0} is not there: python from_python.py make {0} makes it", file));
  thaw::ScriptModule model(torch::jit::load(file));
  const auto groups = thaw::LayerGroups::cut_before(model, {"1"});  // body | head, by their names in Python
  const thaw::InMemory valid = images(options, "t10k", 1000);
  thaw::Learner learner(model, groups, thaw::cross_entropy,
                        {.train = images(options, "train", 4000),
                         .valid = valid,
                         .metrics = {thaw::accuracy()},
                         .callbacks = {thaw::Console{}}});
  learner.fit({.name = "head", .freeze = thaw::FreezeTo{-1}, .lr = 1e-2});
  const thaw::EpochRecord last =
      learner.fit({.name = "all", .epochs = options.epochs, .freeze = thaw::Unfrozen{}, .lr = 1e-2});

  model->eval();
  model->script().save((options.out / "tuned.pt").string());
  // for Python to compare: what the network said of ten images here
  const at::Tensor seen = valid.in_order()()->input[0].slice(0, 0, 10);
  torch::jit::Module record("seen");
  record.register_buffer("images", seen);
  record.register_buffer("logits", learner.predict(seen));
  record.register_buffer("labels", valid.targets()[0].slice(0, 0, 10).clone());
  record.save((options.out / "seen.pt").string());
  fmt::print("ok: valid accuracy {:.3f}; wrote {}\n", last.valid->metrics[0].value,
             (options.out / "tuned.pt").string());
}

}  // namespace

int main(int argc, char** argv) {
  example::Common options;
  options.data = THAW_DATA_DIR;
  options.weights = "net.pt";
  options.epochs = 3;
  CLI::App app("Fine-tunes a TorchScript network that from_python.py made.");
  options.add_to(app);
  return example::main(app, options, argc, argv, [&] { run(options); });
}
