// What a Learner is left with when something goes wrong, or works in place.

#include <ATen/ops/empty.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <filesystem>
#include <stdexcept>
#include <thaw/train/gradient_accumulation.hpp>
#include <thaw/train/learner.hpp>

#include "support/bench.hpp"

using thaw::test::Bench;

TEST_CASE("a stage that a callback stops as it begins trains nothing, and spoils no other record") {
  struct Stop {
    void on_stage_begin(const thaw::StageBegin& event) const { event.learner.stop("out of time"); }
  };
  Bench bench;
  const thaw::EpochRecord none = bench.learner->fit({.name = "first"}, Stop{});
  CHECK(none.stop == "out of time");
  CHECK(none.stage == "first");
  CHECK(bench.learner->history().epochs.empty());
  bench.learner->fit({});
  bench.learner->fit({}, Stop{});
  CHECK(bench.learner->history().epochs.size() == 1);
  CHECK(bench.learner->history().epochs[0].stop.empty());
}

TEST_CASE("gradients that a failed step left do not reach the next one") {
  Bench a, b;
  struct Fail {
    int* batches;
    void on_batch_ready(const thaw::BatchReady&) const {
      if (++*batches == 3) throw std::runtime_error("no memory");
    }
  };
  int batches = 0;
  CHECK_THROWS_AS(a.learner->fit({.lr = 1e-12}, Fail{&batches}, thaw::GradientAccumulation{4}), std::runtime_error);
  for (Bench* each : {&a, &b}) {
    each->learner->data({.train = each->data(8)});
    thaw::forget_state(each->learner->optimizer());
    each->learner->fit({.lr = 1e-2});
  }
  CHECK(thaw::test::same_state(thaw::test::state_of(*a.net), *b.net));
}

TEST_CASE("a model that works in place does not change the data") {
  Bench bench;
  const at::Tensor before = bench.input.clone();
  struct InPlace {
    void on_batch_ready(const thaw::BatchReady& event) const {
      at::Tensor input = event.batch.input;
      input.mul_(2);
    }
  };
  bench.learner->fit({}, InPlace{});
  CHECK(bench.input.equal(before));
}

TEST_CASE("load leaves no state that the file does not have, and nothing half loaded") {
  Bench bench({.sgd = false});
  const auto file = (std::filesystem::temp_directory_path() / "thaw-learner-load.pt").string();
  bench.learner->fit({.freeze = thaw::FreezeTo{-1}});
  const std::size_t head_only = bench.learner->optimizer().state().size();
  bench.learner->save(file);
  bench.learner->fit({.freeze = thaw::Unfrozen{}});
  REQUIRE(bench.learner->optimizer().state().size() > head_only);
  bench.learner->load(file);
  CHECK(bench.learner->optimizer().state().size() == head_only);

  // The same model with other optimizer groups: refused, the state as it was.
  thaw::Learner other{
      bench.net, thaw::LayerGroups::cut_before(bench.net, {}), thaw::cross_entropy, {.train = bench.data(8)}};
  other.fit({});
  const std::size_t all = other.optimizer().state().size();
  CHECK_THROWS_AS(other.load(file), thaw::FileError);
  CHECK(other.optimizer().state().size() == all);
  std::filesystem::remove(file);
}

TEST_CASE("a batch that does not fit into memory is one clear error, and the weights are as before it") {
#ifdef __SANITIZE_ADDRESS__
  SKIP("AddressSanitizer ends a program that asks for too much memory");
#endif
  Bench bench;
  struct Greedy {
    void on_batch_ready(const thaw::BatchReady& event) const {
      event.batch.input.replace(0, at::empty({std::int64_t{1} << 58}));  // bytes that no machine has
    }
  };
  const auto before = thaw::test::state_of(*bench.net);
  CHECK_THROWS_MATCHES(
      bench.learner->fit({}, Greedy{}), thaw::MemoryError,
      Catch::Matchers::MessageMatches(Catch::Matchers::ContainsSubstring("does not fit into the memory of cpu")));
  CHECK(thaw::test::same_state(before, *bench.net));
  CHECK(bench.learner->fit({}).epoch == 1);
}

TEST_CASE("a fit that fails is counted as one, and the next one can be resumed") {
  Bench bench;
  struct Fail {
    void on_step_end(const thaw::StepEnd&) const { throw std::runtime_error("the user's own"); }
  };
  CHECK_THROWS_AS(bench.learner->fit({}, Fail{}), std::runtime_error);
  const thaw::RunState state = bench.learner->run_state();
  CHECK(state.at("place/fit").item<std::int64_t>() == 1);
  CHECK_FALSE(state.at("place/begun").item<bool>());
}
