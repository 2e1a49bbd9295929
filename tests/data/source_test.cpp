#include <thaw/data/source.hpp>

#include <torch/data/dataloader.h>
#include <torch/data/datasets/map.h>
#include <torch/data/samplers/random.h>
#include <torch/data/samplers/sequential.h>
#include <torch/data/transforms/stack.h>

#include <ATen/Context.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/rand_like.h>
#include <ATen/ops/zeros.h>
#include <catch2/catch_test_macros.hpp>
#include <iterator>
#include <list>
#include <ranges>
#include <thaw/data/in_memory.hpp>
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

struct Ones : torch::data::datasets::Dataset<Ones> {
  torch::data::Example<> get(std::size_t i) override {
    return {at::full({1}, static_cast<double>(i)), at::full({}, 1)};
  }
  std::optional<std::size_t> size() const override { return 6; }
};

/// Three batches from LibTorch's own DataLoader.
template <class Sampler = torch::data::samplers::SequentialSampler>
auto loader(std::size_t workers = 0) {
  return torch::data::make_data_loader<Sampler>(Ones().map(torch::data::transforms::Stack<>()),
                                                torch::data::DataLoaderOptions(2).workers(workers));
}

at::Tensor random_state() {
  return at::globalContext().defaultGenerator(at::kCPU).get_state();
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

TEST_CASE("a loader with workers may be left in the middle of a pass, which LibTorch itself refuses") {
  const auto unwrapped = loader(2);
  {
    auto left = unwrapped->begin();
    CHECK_THROWS_AS(unwrapped->begin(), c10::Error);
    for (; left != unwrapped->end(); ++left) {
    }
  }
  const thaw::DataSource source(loader(2), 3);
  {
    const auto left = source.stream();
    CHECK(left().has_value());
  }
  {
    const auto unread = source.stream();
  }
  CHECK(values(source) == std::vector{0., 2., 4.});
  CHECK(values(source) == std::vector{0., 2., 4.});
}

TEST_CASE("looking at the first batch does not use it up, and shows it again and again") {
  const auto check = [](const thaw::DataSource& source, const std::vector<double>& expected) {
    for (int i = 0; i < 2; ++i) {
      const auto first = source.first();
      REQUIRE(first);
      CHECK(first->input[0][0].item<double>() == expected[0]);
    }
    CHECK(values(source) == expected);
    CHECK(values(source) == expected);
  };
  for (const std::size_t workers : {0, 2}) check(thaw::DataSource(loader(workers), 3), {0, 2, 4});
  check(std::vector{batch(1), batch(2)}, {1, 2});
  check(std::list{batch(1)}, {1});
  check(thaw::InMemory({.input = at::arange(4, at::kDouble).view({4, 1}), .target = at::arange(4), .batch_size = 2}),
        {0, 2});
  CHECK_FALSE(thaw::DataSource(std::vector<thaw::Batch>{}).first());
}

TEST_CASE("the first batch of a shuffled loader is the one that the pass begins with") {
  at::manual_seed(1);
  for (int i = 0; i < 20; ++i) {
    const thaw::DataSource source(loader<torch::data::samplers::RandomSampler>(), 3);
    const double first = source.first()->input[0][0].item<double>();
    const double again = source.first()->input[0][0].item<double>();
    CHECK(again == first);
    CHECK(values(source)[0] == first);
  }
}

TEST_CASE("the first batch of a shuffled InMemory is that of the epoch asked for") {
  const thaw::DataSource source = thaw::InMemory(
      {.input = at::arange(40, at::kDouble).view({40, 1}), .target = at::arange(40), .batch_size = 4, .shuffle = true});
  for (const std::int64_t epoch : {0, 1, 2}) {
    CHECK(source.first(epoch)->input[0][0].item<double>() == values(source, epoch)[0]);
    CHECK(source.first(epoch)->input[0][0].item<double>() != values(source, epoch + 1)[0]);
  }
}

TEST_CASE("counting the batches leaves the random generator as it was, and the next pass whole") {
  for (const std::size_t workers : {0, 2}) {
    at::manual_seed(5);
    const auto expected = values(thaw::DataSource(loader<torch::data::samplers::RandomSampler>(workers), 3));
    at::manual_seed(5);
    const thaw::DataSource source = loader<torch::data::samplers::RandomSampler>(workers);
    const at::Tensor before = random_state();
    CHECK(source.batches() == 3);
    CHECK(at::equal(random_state(), before));
    CHECK(values(source) == expected);
    CHECK_FALSE(at::equal(random_state(), before));  // a pass of it does draw
    CHECK(source.batches() == 3);
  }
}

TEST_CASE("counting after a look at the first batch is no second pass within the first") {
  for (const std::size_t workers : {0, 2}) {
    const thaw::DataSource source = loader(workers);
    CHECK(source.first());
    CHECK(source.batches() == 3);
    CHECK(values(source) == std::vector{0., 2., 4.});
  }
}

TEST_CASE("from makes a batch of each element of any range, held by value or by pointer") {
  struct Sample {
    int id;
    double value;
  };
  const auto as_batch = [](const Sample& sample) { return batch(sample.value); };
  const auto source = thaw::DataSource::from(std::vector<Sample>{{1, 5}, {2, 6}}, as_batch);
  CHECK(source.batches() == 2);
  CHECK(values(source) == std::vector{5., 6.});
  CHECK(values(source) == std::vector{5., 6.});

  for (const std::size_t workers : {0, 2}) {
    const auto swapped = thaw::DataSource::from(loader(workers), [](const torch::data::Example<>& example) {
      return thaw::Batch{example.data * 10, example.target};
    });
    CHECK(swapped.batches() == 3);
    CHECK(swapped.first()->input[0][0].item<double>() == 0);
    CHECK(values(swapped) == std::vector{0., 20., 40.});
    CHECK(values(swapped) == std::vector{0., 20., 40.});
  }
  CHECK(thaw::DataSource::from(loader(), [](const auto& e) { return thaw::to_batch(e); }, 7).batches() == 7);
}

TEST_CASE("trap 8: LibTorch's iterator is no std::input_iterator, and its loaders are sources all the same") {
  using Loader = std::remove_cvref_t<decltype(*loader())>;
  using Iterator = decltype(std::declval<Loader&>().begin());
  STATIC_CHECK_FALSE(std::input_iterator<Iterator>);
  STATIC_CHECK_FALSE(std::ranges::input_range<Loader>);
  STATIC_CHECK(thaw::detail::RangeOfBatches<Loader>);
  CHECK(values(std::shared_ptr(loader())) == std::vector{0., 2., 4.});
}

TEST_CASE("a worker's exception reaches whoever asks for the batch, and nobody else") {
  struct Broken : torch::data::datasets::Dataset<Broken> {
    torch::data::Example<> get(std::size_t i) override {
      if (i >= 4) throw std::runtime_error("no such file");
      return {at::full({1}, static_cast<double>(i)), at::full({}, 1)};
    }
    std::optional<std::size_t> size() const override { return 6; }
  };
  const thaw::DataSource source(torch::data::make_data_loader<torch::data::samplers::SequentialSampler>(
                                    Broken().map(torch::data::transforms::Stack<>()),
                                    torch::data::DataLoaderOptions(2).workers(2).enforce_ordering(true)),
                                3);
  CHECK_THROWS_AS(values(source), torch::data::WorkerException);
  {
    const auto left = source.stream();
    CHECK(left().has_value());
  }
  CHECK(source.first()->input[0][0].item<double>() == 0);
}

TEST_CASE("a look at a pass that can be had again leaves random generators as they were") {
  const at::Tensor zeros = at::zeros({6, 2});
  const thaw::DataSource source =
      thaw::InMemory({.input = zeros, .target = zeros, .batch_size = 3, .transform = [](const at::Tensor& batch) {
                        return batch + at::rand_like(batch);
                      }});
  const thaw::RandomState random;
  const at::Tensor seen = source.first()->input;
  CHECK_FALSE(random.moved());
  CHECK(at::equal((*source.stream()()).input, seen));
}
