// Batches per second out of memory: thaw::InMemory against LibTorch's DataLoader over a TensorDataset, both shuffled.
//
//   cmake --preset bench && cmake --build --preset bench && build/bench/benchmarks/batches

#include "bench.hpp"

#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <torch/data.h>

#include <thaw/data/in_memory.hpp>

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

}  // namespace

int main(int count, char** words) {
  const bench::Arguments arguments(count, words);
  const int rounds = arguments.quick ? 5 : 25;
  bench::Report report;
  compare("16 numbers", {8192, 16}, rounds, report);
  compare("3x32x32", {8192, 3, 32, 32}, rounds, report);
  compare("3x128x128", {1024, 3, 128, 128}, rounds, report);
  report.finish(arguments);
}
