// SPDX-License-Identifier: BSD-3-Clause
// Batches per second out of memory: thaw::InMemory against LibTorch's DataLoader over a TensorDataset, both shuffled;
// and for how long training a resnet waits for its batches.
//
//   cmake --preset bench && cmake --build --preset bench && build/bench/benchmarks/batches

#include "bench.hpp"

#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <torch/data.h>

#include <thaw/models/resnet.hpp>
#include <thaw/thaw.hpp>

namespace {

struct Data : torch::data::datasets::Dataset<Data> {
  explicit Data(std::vector<std::int64_t> sizes)
      : input(at::randn(sizes)), target(at::randint(10, {sizes[0]}, at::kLong)) {}
  torch::data::Example<> get(std::size_t i) override {
    return {input[static_cast<std::int64_t>(i)], target[static_cast<std::int64_t>(i)]};
  }
  [[nodiscard]] std::optional<std::size_t> size() const override { return input.size(0); }
  at::Tensor input, target;
};

void compare(const std::string& name, const std::vector<std::int64_t>& sizes, int rounds, bench::Report& report) {
  constexpr std::int64_t batch_size = 64;
  Data data(sizes);
  const thaw::InMemory memory({.input = data.input, .target = data.target, .batch_size = batch_size, .shuffle = true});
  const auto loader = torch::data::make_data_loader<torch::data::samplers::RandomSampler>(
      data.map(torch::data::transforms::Stack<>()), batch_size);
  std::int64_t ours_seen = 0, theirs_seen = 0;
  const auto s = bench::interleaved(rounds, {[&] {
                                               thaw::BatchStream next = memory.stream(0);
                                               while (const auto batch = next()) ours_seen += batch->size();
                                             },
                                             [&] {
                                               for (auto& batch : *loader) theirs_seen += batch.data.size(0);
                                             }});
  if (ours_seen != theirs_seen) throw std::runtime_error("the two sides did not see the same samples");
  const double batches = static_cast<double>(sizes[0] / batch_size);
  report.add("a batch of 64 samples of " + name + ", DataLoader", s[0] / batches * 1e6, s[1] / batches * 1e6, "us",
             bench::Target::at_least, 10);
}

/// A source whose reader's waiting is timed.
struct Timed {
  thaw::InMemory source;
  double* seconds;

  [[nodiscard]] std::int64_t batches() const { return source.batches(); }
  [[nodiscard]] thaw::BatchStream stream(std::int64_t epoch) const {
    return [next = source.stream(epoch), this_seconds = seconds] {
      std::optional<thaw::Batch> batch;
      *this_seconds += bench::timed([&] { batch = next(); });
      return batch;
    };
  }
};

void wait(const thaw::InMemory& source, bench::Report& report) {
  auto model = thaw::models::resnet18({.classes = 10});
  double waited = 0;
  thaw::Learner learner{
      model, thaw::LayerGroups::cut_before(model, {"fc"}), thaw::cross_entropy, {.train = Timed{source, &waited}}};
  const thaw::Stage stage{.freeze = thaw::Unfrozen{}};
  (void)learner.fit(stage);
  waited = 0;
  const double all = bench::timed([&] { (void)learner.fit(stage); });
  report.add("waiting for batches, of resnet18's epoch at 128 px", waited * 1e3, all * 1e3, "ms",
             bench::Target::at_most, 0.01);
}

}  // namespace

int main(int count, char** words) {
  const bench::Arguments arguments(count, words);
  const int rounds = arguments.quick ? 5 : 25;
  bench::Report report;
  compare("16 numbers", {8192, 16}, rounds, report);
  compare("3x32x32", {8192, 3, 32, 32}, rounds, report);
  compare("3x128x128", {1024, 3, 128, 128}, rounds, report);
  const std::int64_t images = arguments.quick ? 128 : 256;
  wait(thaw::InMemory({.input = at::randn({images, 3, 128, 128}),
                       .target = at::randint(10, {images}, at::kLong),
                       .batch_size = 32,
                       .shuffle = true}),
       report);
  report.finish(arguments);
}
