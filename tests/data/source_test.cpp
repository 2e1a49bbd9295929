// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/data/source.hpp>

#include <torch/data/dataloader.h>
#include <torch/data/datasets/map.h>
#include <torch/data/samplers/random.h>
#include <torch/data/samplers/sequential.h>
#include <torch/data/samplers/stream.h>
#include <torch/data/transforms/stack.h>

#include <ATen/Context.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/rand_like.h>
#include <ATen/ops/zeros.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <forward_list>
#include <iterator>
#include <list>
#include <thaw/data/in_memory.hpp>
#include <thaw/data/prefetch.hpp>
#include <vector>

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

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

/// The same with all options.
template <class Sampler = torch::data::samplers::SequentialSampler>
thaw::DataSource loader_with(const torch::data::DataLoaderOptions& options) {
  return torch::data::make_data_loader<Sampler>(Ones().map(torch::data::transforms::Stack<>()), options);
}

/// A range that never ends, with no more than a range-for needs.
struct ForEver {
  struct Iterator {
    double value = 0;
    thaw::Batch same = batch(0);
    thaw::Batch operator*() const { return same; }
    Iterator& operator++() { return ++value, *this; }
    bool operator!=(const Iterator&) const { return true; }
  };
  Iterator begin() { return {}; }
  Iterator end() { return {}; }
};

/// As many batches in each pass as a list says.
struct Uneven {
  std::vector<std::int64_t> lengths;
  [[nodiscard]] std::int64_t batches() const { return lengths[0]; }
  [[nodiscard]] thaw::BatchStream stream(std::int64_t epoch) const {
    return [left = lengths.at(static_cast<std::size_t>(epoch))]() mutable -> std::optional<thaw::Batch> {
      return left-- > 0 ? std::optional(batch(static_cast<double>(left))) : std::nullopt;
    };
  }
};

std::vector<double> values_in_order(const thaw::DataSource& source) {
  std::vector<double> result;
  for (auto next = source.in_order(); const auto b = next();)
    for (std::int64_t i = 0; i < b->size(); ++i) result.push_back(b->input[0][i][0].item<double>());
  return result;
}

at::Tensor random_state() {
  return at::globalContext().defaultGenerator(at::kCPU).get_state();
}

/// 0, 1, 2, ... without an end, as std::views::iota(0), which Clang cannot take from g++ 12's library.
struct FromZero {
  struct iterator {
    using value_type = int;
    using difference_type = std::ptrdiff_t;
    int value = 0;
    int operator*() const { return value; }
    iterator& operator++() { return ++value, *this; }
    iterator operator++(int) { return {value++}; }
    bool operator==(const iterator&) const = default;
  };
  [[nodiscard]] iterator begin() const { return {}; }
  [[nodiscard]] std::unreachable_sentinel_t end() const { return {}; }
};

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

TEST_CASE("in order, a source gives every sample, also one that shuffles and drops its last batch") {
  const thaw::InMemory shuffled({.input = at::arange(5, at::kDouble).view({5, 1}),
                                 .target = at::arange(5),
                                 .batch_size = 2,
                                 .shuffle = true,
                                 .drop_last = true});
  const std::vector<double> five{0, 1, 2, 3, 4}, six{0, 1, 2, 3, 4, 5};
  CHECK(values_in_order(shuffled) == five);
  CHECK(values_in_order(thaw::Prefetch(shuffled)) == five);
  CHECK(values_in_order(std::vector{batch(1), batch(2)}) == std::vector{1., 1., 2., 2.});
  CHECK(values_in_order(std::forward_list{batch(1), batch(2)}) == std::vector{1., 1., 2., 2.});
  CHECK(values_in_order(Uneven{{2}}) == std::vector{1., 1., 0., 0.});
  for (const std::size_t workers : {0, 2}) CHECK(values_in_order(loader(workers)) == six);
}

TEST_CASE("a source that cannot promise an order is refused where one is needed, in words") {
  struct Shuffles : Uneven {
    [[nodiscard]] bool ordered() const { return false; }
  };
  struct InARow {
    ForEver range;
    auto begin() { return range.begin(); }
    auto end() { return range.end(); }
    [[nodiscard]] bool ordered() const { return true; }
  };
  const auto refused = [](const thaw::DataSource& source) {
    CHECK_FALSE(source.ordered());
    CHECK_THROWS_MATCHES(source.in_order(), thaw::ConfigError,
                         MessageMatches(ContainsSubstring("cannot give every sample in an order of its own") &&
                                        ContainsSubstring("SequentialSampler")));
  };
  refused(loader<torch::data::samplers::RandomSampler>());
  refused(loader_with(torch::data::DataLoaderOptions(4).drop_last(true)));
  refused(loader_with(torch::data::DataLoaderOptions(2).workers(2).enforce_ordering(false)));
  refused(Shuffles{{{2}}});
  refused(thaw::Prefetch(Shuffles{{{2}}}));
  refused(thaw::DataSource(ForEver{}, 2));
  CHECK(values_in_order(thaw::DataSource(InARow{}, 2)).size() == 4);
}

TEST_CASE("copies of one loader share the pass that was looked into, and what was counted") {
  for (const std::size_t workers : {0, 2}) {
    at::manual_seed(3);
    const thaw::DataSource source = loader<torch::data::samplers::RandomSampler>(workers), copy = source;
    CHECK(source.batches() == 3);
    const double first = source.first()->input[0][0].item<double>();
    CHECK(copy.first()->input[0][0].item<double>() == first);
    CHECK(copy.batches() == 3);
    CHECK(source.first()->input[0][0].item<double>() == first);  // counting was no other pass
    CHECK(values(copy)[0] == first);
    CHECK(values(source).size() == 3);
  }
}

TEST_CASE("a loader has one pass at a time, whoever asks for the second; a container has many") {
  const auto refused = [](const thaw::DataSource& source) {
    CHECK_THROWS_MATCHES(source.stream(), thaw::ConfigError,
                         MessageMatches(ContainsSubstring("a pass over it has begun and not ended") &&
                                        ContainsSubstring("a loader of its own")));
  };
  for (const std::size_t workers : {0, 2}) {
    const std::shared_ptr shared = loader(workers);
    const thaw::DataSource source(shared, 3), copy = source, again(shared, 3);
    {
      const auto pass = source.stream();
      CHECK(pass());
      for (const thaw::DataSource& each : {source, copy, again}) refused(each);
      CHECK(pass());
      CHECK(pass());
      CHECK_FALSE(pass());
      CHECK(values(copy) == std::vector{0., 2., 4.});  // the first has ended, though it is still there
    }
    {
      const auto left = again.stream();
      CHECK(left());
    }
    CHECK(values(source) == std::vector{0., 2., 4.});
    CHECK(source.first());
    refused(again);
  }
  for (const thaw::DataSource& source :
       {thaw::DataSource(std::vector{batch(1)}), thaw::DataSource(std::forward_list{batch(1)})}) {
    const auto pass = source.stream();
    CHECK(values(source) == std::vector{1.});
    CHECK(pass());
  }
}

TEST_CASE("a range that never ends gives as many batches as were said; without a number it is refused") {
  const thaw::DataSource five(ForEver{}, 5);
  CHECK(five.batches() == 5);
  for (int pass = 0; pass < 3; ++pass) CHECK(values(five).size() == 5);
  CHECK(values(thaw::DataSource::from(ForEver{}, [](const thaw::Batch& b) { return b; }, 2)).size() == 2);
  auto rest = five.stream(0, 3);
  CHECK((rest() && rest() && !rest()));

  CHECK_THROWS_MATCHES(thaw::DataSource(ForEver{}).batches(), thaw::DataError,
                       MessageMatches(ContainsSubstring("there are more than 1000000") &&
                                      ContainsSubstring("thaw::DataSource(range, batches)")));
  const auto make = [](int i) { return batch(i); };
  CHECK_THROWS_MATCHES(thaw::DataSource::from(FromZero(), make), thaw::ConfigError,
                       MessageMatches(ContainsSubstring("the range has no end")));
  CHECK(values(thaw::DataSource::from(FromZero(), make, 3)) == std::vector{0., 1., 2.});
}

TEST_CASE("a loader that never ends is left behind, and with workers refuses a second pass instead of hanging") {
  struct Stream : torch::data::datasets::StreamDataset<Stream, torch::data::Example<>> {
    torch::data::Example<> get_batch(std::size_t n) override {
      return {at::full({static_cast<std::int64_t>(n), 1}, 1.0), at::full({static_cast<std::int64_t>(n)}, 1)};
    }
    std::optional<std::size_t> size() const override { return std::nullopt; }
  };
  const auto source = [](std::size_t workers) {
    return thaw::DataSource(
        torch::data::make_data_loader(Stream(), torch::data::samplers::StreamSampler(std::size_t{1} << 60U),
                                      torch::data::DataLoaderOptions(2).workers(workers)),
        2);
  };
  const thaw::DataSource alone = source(0), with_workers = source(2);
  for (int pass = 0; pass < 3; ++pass) CHECK(values(alone).size() == 2);
  CHECK(values(with_workers).size() == 2);
  CHECK_THROWS_MATCHES(with_workers.stream(), thaw::ConfigError, MessageMatches(ContainsSubstring("does not end")));
}

TEST_CASE("a pass of another length than expected says so as it ends") {
  const auto complaint = [](const thaw::DataSource& source, std::int64_t epoch, std::int64_t i = 0) -> std::string {
    try {
      for (auto next = source.stream(epoch, i); next();) {
      }
    } catch (const thaw::DataError& error) {
      return error.problem();
    }
    return "";
  };
  const thaw::DataSource uneven = Uneven{{3, 2, 4, 0}};
  CHECK(complaint(uneven, 0).empty());
  CHECK(complaint(uneven, 1) == "a pass gave 2 batches, and 3 were expected");
  CHECK(complaint(uneven, 2) == "a pass gave more batches, and 3 were expected");
  CHECK(complaint(uneven, 3).empty());  // who asks says what it is for
  CHECK(complaint(uneven, 0, 2).empty());
  CHECK(complaint(uneven, 0, 3).empty());
  CHECK(complaint(uneven, 1, 1) == "a pass gave 2 batches, and 3 were expected");
  CHECK(complaint(uneven, 1, 2) == "a pass gave at most 2 batches, and 3 were expected");
  CHECK(complaint(thaw::DataSource(loader(), 5), 0) == "a pass gave 3 batches, and 5 were expected");
  CHECK(complaint(thaw::DataSource(loader(), 2), 0).empty());
  const auto grows = std::make_shared<std::vector<thaw::Batch>>(2, batch(1));
  const thaw::DataSource source = grows;
  grows->push_back(batch(2));
  CHECK(complaint(source, 0) == "a pass gave more batches, and 2 were expected");
}

TEST_CASE("a number of batches that the source contradicts is refused, and so is a null pointer") {
  const auto says = [](const std::string& text) { return MessageMatches(ContainsSubstring(text)); };
  const std::vector two{batch(1), batch(2)};
  CHECK(thaw::DataSource(two, 2).batches() == 2);
  CHECK_THROWS_MATCHES(thaw::DataSource(two, 3), thaw::ConfigError, says("said to have 3 batches, and has 2"));
  CHECK_THROWS_MATCHES(thaw::DataSource(Uneven{{2}}, 1), thaw::ConfigError, says("said to have 1 batches, and has 2"));
  CHECK_THROWS_MATCHES(thaw::DataSource(loader(), -1), thaw::ConfigError, says("-1 batches"));

  auto moved = loader();
  const thaw::DataSource first = std::move(moved);
  CHECK_THROWS_MATCHES(thaw::DataSource(std::move(moved)), thaw::ConfigError, says("the pointer to it is null"));
  CHECK_THROWS_MATCHES(thaw::DataSource(std::shared_ptr<std::vector<thaw::Batch>>()), thaw::ConfigError,
                       says("the pointer to it is null"));
  CHECK_THROWS_MATCHES(thaw::DataSource::from(std::unique_ptr<std::vector<int>>(), [](int) { return batch(1); }),
                       thaw::ConfigError, says("the pointer to it is null"));
  struct Nothing {
    [[nodiscard]] std::int64_t batches() const { return 1; }
    [[nodiscard]] thaw::BatchStream stream(std::int64_t) const { return {}; }
  };
  CHECK_THROWS_MATCHES(thaw::DataSource(Nothing{}).stream(), thaw::ConfigError, says("an empty function"));
  CHECK_THROWS_MATCHES(thaw::DataSource().stream(), thaw::DataError, says("there is none"));
  CHECK(thaw::DataSource().batches() == 0);
}

TEST_CASE("the smallest batch is known of what is there, and of what was counted") {
  const thaw::Batch one{at::full({1, 1}, 1), at::full({1}, 1)};
  CHECK(thaw::DataSource(std::vector{batch(1), one, batch(2)}).smallest_batch() == 1);
  CHECK(thaw::DataSource(std::list{batch(1), batch(2)}).smallest_batch() == 2);
  CHECK_FALSE(thaw::DataSource(std::vector<thaw::Batch>{}).smallest_batch());
  int made = 0;
  const auto make = [&](int size) { return ++made, thaw::Batch{at::full({size, 1}, 1), at::full({size}, 1)}; };
  CHECK(thaw::DataSource::from(std::vector{4, 4, 3}, make).smallest_batch() == 3);
  CHECK(made == 1);  // others may take long to make
  CHECK(thaw::DataSource(thaw::InMemory({.input = at::arange(5), .target = at::arange(5), .batch_size = 4}))
            .smallest_batch() == 1);
  const thaw::DataSource counted = loader_with(torch::data::DataLoaderOptions(5));
  CHECK_FALSE(counted.smallest_batch());
  CHECK(counted.batches() == 2);
  CHECK(counted.smallest_batch() == 1);
}
