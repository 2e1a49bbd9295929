#include <thaw/data/source.hpp>

#include <torch/data/dataloader.h>
#include <torch/data/datasets/map.h>
#include <torch/data/samplers/sequential.h>
#include <torch/data/transforms/stack.h>

#include <ATen/ops/full.h>
#include <catch2/catch_test_macros.hpp>
#include <list>
#include <vector>

namespace {

thaw::Batch batch(double value) {
  return {at::full({2, 1}, value), at::full({2}, value)};
}

std::vector<double> values(const thaw::DataSource& source, std::int64_t epoch = 0) {
  std::vector<double> result;
  for (auto next = source.stream(epoch); const auto b = next();) result.push_back(b->input[0][0].item<double>());
  return result;
}

/// Three batches from LibTorch's own DataLoader.
auto loader() {
  std::vector<at::Tensor> samples;
  for (int i = 0; i < 6; ++i) samples.push_back(at::full({1}, i));
  struct Labelled : torch::data::datasets::Dataset<Labelled> {
    torch::data::Example<> get(std::size_t i) override {
      return {at::full({1}, static_cast<double>(i)), at::full({}, 1)};
    }
    std::optional<std::size_t> size() const override { return 6; }
  };
  return torch::data::make_data_loader<torch::data::samplers::SequentialSampler>(
      Labelled().map(torch::data::transforms::Stack<>()), 2);
}

}  // namespace

TEST_CASE("a vector and a list of batches are sources, and can be run again") {
  const thaw::DataSource vector = std::vector{batch(1), batch(2), batch(3)};
  CHECK(vector.batches() == 3);
  CHECK(values(vector) == std::vector{1., 2., 3.});
  CHECK(values(vector) == std::vector{1., 2., 3.});
  const thaw::DataSource list = std::list{batch(4), batch(5)};
  CHECK(list.batches() == 2);
  CHECK(values(list) == std::vector{4., 5.});
}

TEST_CASE("LibTorch's DataLoader is a source: every batch once, counted by a pass, run again") {
  const thaw::DataSource source = loader();
  CHECK(source.batches() == 3);
  CHECK(values(source) == std::vector{0., 2., 4.});
  CHECK(values(source) == std::vector{0., 2., 4.});
  CHECK(thaw::DataSource(loader(), 3).batches() == 3);
}

TEST_CASE("copies of a source share it, and an empty one says so") {
  const thaw::DataSource source = std::vector{batch(1)};
  const thaw::DataSource copy = source;
  CHECK(values(copy) == std::vector{1.});
  CHECK_FALSE(thaw::DataSource{});
  CHECK(thaw::DataSource(std::vector<thaw::Batch>{}).batches() == 0);
  CHECK(values(std::vector<thaw::Batch>{}).empty());
}
