// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/distributed/data_parallel.hpp>

#include <torch/serialize.h>

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <csignal>
#include <cstdlib>

#include "distributed/spawn.hpp"

using Catch::Matchers::ContainsSubstring;
using thaw::test::Ended;
using thaw::test::Folder;
using thaw::test::in_processes;

namespace {

std::vector<Ended> run_case(int size, const std::string& name, const Folder& folder,
                            const std::vector<std::string>& fault = {}) {
  std::vector<std::string> command{THAW_LEARNER_RUN, name, folder.path.string()};
  command.insert(command.end(), fault.begin(), fault.end());
  return in_processes(size, command);
}

std::vector<at::Tensor> result_of(const Folder& folder, int rank) {
  std::vector<at::Tensor> result;
  torch::load(result, folder / ("result-" + std::to_string(rank)));
  return result;
}

void check_equal(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) CHECK(a[i].equal(b[i]));
}

/// What all processes came to: the same, bit for bit.
std::vector<at::Tensor> ran(int size, const std::string& name, const Folder& folder,
                            const std::vector<std::string>& fault = {}) {
  const std::vector<Ended> ended = run_case(size, name, folder, fault);
  for (const Ended& each : ended) {
    INFO(each.said);
    REQUIRE(each.well());
  }
  const std::vector<at::Tensor> first = result_of(folder, 0);
  for (int rank = 1; rank < size; ++rank) check_equal(result_of(folder, rank), first);
  return first;
}

void check_near(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b, double tolerance = 1e-12) {
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    REQUIRE(a[i].sizes() == b[i].sizes());
    CHECK((a[i] - b[i]).abs().max().item<double>() < tolerance);  // in double: sums in another order
  }
}

/// What processes do meanwhile, they do on the simulated accelerator.
struct OnAccelerator {
  OnAccelerator() { ::setenv("THAW_TEST_DEVICE", "accelerator", 1); }
  ~OnAccelerator() { ::unsetenv("THAW_TEST_DEVICE"); }
  OnAccelerator(const OnAccelerator&) = delete;
  OnAccelerator& operator=(const OnAccelerator&) = delete;
};

/// So many processes give what one gives.
void check_as_alone(int size, const std::string& name) {
  const Folder alone, folder;
  check_near(ran(size, name, folder), ran(1, name, alone));
}

/// All ended, none well, and each says one of these.
void check_all_failed(const std::vector<Ended>& ended, const std::string& own, std::size_t rank,
                      const std::string& others) {
  for (std::size_t i = 0; i < ended.size(); ++i) {
    INFO(ended[i].said);
    CHECK(WIFEXITED(ended[i].status));
    CHECK_FALSE(ended[i].well());
    CHECK_THAT(ended[i].said, ContainsSubstring(i == rank ? own : others));
  }
}

}  // namespace

TEST_CASE(
    "a Learner in two, three and four processes gives what it gives alone: weights, losses, metrics and the finder's "
    "curve, frozen and thawed, one-cycle, accumulated, clipped; all processes bit for bit the same") {
  const Folder alone;
  const std::vector<at::Tensor> expected = ran(1, "plan", alone);
  for (const int size : {2, 3, 4}) {
    CAPTURE(size);
    const Folder folder;
    check_near(ran(size, "plan", folder), expected);
  }
}

TEST_CASE("a sharded optimizer gives the same, and each process remembers a part") {
  const Folder alone;
  const std::vector<at::Tensor> expected = ran(1, "plan", alone);
  const Folder folder;
  const std::vector<Ended> ended = run_case(2, "sharded", folder);
  std::int64_t remembered = 0, most = 0;
  for (const Ended& each : ended) {
    INFO(each.said);
    REQUIRE(each.well());
    const auto at = each.said.find("optimizer remembers ");
    REQUIRE(at != std::string::npos);
    const std::int64_t own = std::stoll(each.said.substr(at + 20));
    remembered += own, most = std::max(most, own);
  }
  CHECK(remembered == 6 * 8 + 8 + 8 + 8 + 8 * 8 + 8 + 8 * 2 + 2);  // each number in one process
  CHECK(most < remembered);
  check_near(result_of(folder, 0), expected);
  CHECK(std::filesystem::file_size(folder / "learner.pt") >= std::filesystem::file_size(alone / "learner.pt"));
}

TEST_CASE("what a frozen body gives is kept by each process for its own samples, and trains the head as alone") {
  check_as_alone(3, "cached");
}

TEST_CASE("a mean by class weights, without ignored targets, is over what counts in all processes") {
  check_as_alone(3, "weighted");
  const OnAccelerator accelerator;
  check_as_alone(2, "weighted");
}

TEST_CASE("a loader that shuffles by the global generator gives each sample to one process") {
  check_as_alone(2, "loader");
}

TEST_CASE("norm layers that train end with the same statistics in all processes, also after averaged weights") {
  const Folder folder;
  (void)ran(2, "norm", folder);
}

TEST_CASE("norm layers that see the samples of all processes give what one process gives, after averaged weights too") {
  check_as_alone(3, "sync norm");
}

TEST_CASE("parameters without a part in the loss are an error, or are found") {
  check_as_alone(2, "unused");
  const Folder folder;
  const std::string said = "Expected to have finished reduction";  // c10d's words
  check_all_failed(run_case(2, "unused, unsaid", folder), said, 0, said);
}

TEST_CASE("a step that is not finite in one process is left out in all, and the best epoch comes back") {
  check_as_alone(2, "nan");
}

TEST_CASE("what a callback wants in one process happens in all") {
  const Folder alone, folder;
  SECTION("the stage ends, and says why") {
    check_near(ran(3, "all", folder, {"1", "6", "stop"}), ran(1, "all", alone, {"0", "6", "stop"}));
  }
  SECTION("a step is left out") {
    check_near(ran(3, "all", folder, {"2", "6", "skip"}), ran(1, "all", alone, {"0", "6", "skip"}));
  }
}

TEST_CASE("what fails in one process ends all with its words: a callback, a source") {
  const Folder folder;
  for (const std::string when : {"throw", "throw after it", "throw after the epoch"}) {
    CAPTURE(when);
    check_all_failed(run_case(3, "all", folder, {"1", "5", when}), "here: nothing works", 1,
                     "rank 1 failed: here: nothing works");
  }
  check_all_failed(run_case(2, "data", folder, {"1", "0"}), "image 17: is gone", 1, "rank 1 failed: image 17: is gone");
}

TEST_CASE("a process that dies in a backward pass ends the others, which say that gradients could not be sent") {
  const Folder folder;
  const std::vector<Ended> ended = run_case(3, "all", folder, {"1", "5", "die in backward"});
  CHECK(WIFSIGNALED(ended[1].status));
  for (const std::size_t i : {std::size_t{0}, std::size_t{2}}) {
    INFO(ended[i].said);
    CHECK(WIFEXITED(ended[i].status));
    CHECK_FALSE(ended[i].well());
    CHECK_THAT(ended[i].said, ContainsSubstring("of 3: sending gradients failed: "));
  }
}

TEST_CASE("a run whose processes were killed goes on with any number of them, and ends as if nothing had happened") {
  const Folder alone;
  const std::vector<at::Tensor> expected = ran(1, "resumed", alone);
  const auto [before, after] = GENERATE(std::pair(2, 3), std::pair(3, 1), std::pair(1, 2), std::pair(4, 4));
  CAPTURE(before, after);
  const Folder folder;
  const std::vector<Ended> ended = run_case(before, "resumed", folder, {std::to_string(before - 1), "14", "die"});
  for (const Ended& each : ended) CHECK_FALSE(each.well());
  CHECK_FALSE(std::filesystem::exists(folder / "result-0"));
  check_near(ran(after, "resumed", folder), expected);
  const std::string log = thaw::test::text_of(folder / "log.csv");
  CHECK(std::ranges::count(log, '\n') == 1 + 6);  // by one process, each epoch once
}

TEST_CASE("the real torchrun starts the processes again when one was killed, and they go on") {
  const Folder alone, folder;
  const std::optional<Ended> ended = thaw::test::by_torchrun(
      THAW_LEARNER_RUN " resumed " + folder.path.string() + " 1 14 'die at first'", "--max-restarts 1");
  if (!ended) thaw::test::skip_without("torch");
  INFO(ended->said);
  REQUIRE(ended->well());
  CHECK_THAT(ended->said, ContainsSubstring("failed (exitcode"));  // once
  check_near(result_of(folder, 0), ran(1, "resumed", alone));
}

TEST_CASE("with as many processes as before, a resumed run is bit for bit the same, dropout too") {
  const Folder uninterrupted, folder;
  const std::vector<at::Tensor> expected = ran(2, "dropout", uninterrupted);
  (void)run_case(2, "dropout", folder, {"0", "14", "die"});
  check_equal(ran(2, "dropout", folder), expected);
}

TEST_CASE("a signal to one process ends all, after a checkpoint") {
  const Folder alone, folder;
  const std::vector<at::Tensor> expected = ran(1, "resumed", alone);
  check_all_failed(run_case(3, "resumed", folder, {"2", "7", "signal"}), "asked to end by SIGTERM", 2,
                   "asked to end by SIGTERM");
  CHECK(std::filesystem::exists(folder / "runs/checkpoint-00000003.safetensors"));  // after 3, 6 and 7 steps
  check_near(ran(2, "resumed", folder), expected);

  const Folder another;
  for (const Ended& each : run_case(2, "ended", another, {"1", "7", "signal"})) {
    INFO(each.said);
    CHECK((WIFSIGNALED(each.status) && WTERMSIG(each.status) == SIGTERM));
  }
  CHECK(std::filesystem::exists(another / "runs/checkpoint-00000003.safetensors"));
}

TEST_CASE("on an accelerator processes give what one gives on the CPU; but for what reads it, nothing waits for it") {
  const std::string name = GENERATE("plan", "sharded", "cached", "sync norm", "nan", "unused");
  CAPTURE(name);
  const Folder alone, folder;
  const std::vector<at::Tensor> expected = ran(1, name, alone);
  const OnAccelerator there;
  check_near(ran(2, name, folder), expected);
}

TEST_CASE("float16: a step whose gradients overflow in one process has never been in any") {
  const OnAccelerator there;
  const Folder in_all, in_one, sharded;
  const std::vector<at::Tensor> expected = ran(2, "half", in_all);
  std::int64_t bad = 0;  // losses
  for (const at::Tensor& each : expected) {
    CHECK(each.isfinite().all().item<bool>());
    bad += (each == -1).sum().item<std::int64_t>();
  }
  CHECK(bad >= 7);
  check_equal(ran(2, "half, in one", in_one), expected);
  check_equal(ran(2, "half, sharded", sharded), expected);
}

TEST_CASE("float16: a run that was killed behind a step that overflowed goes on bit for bit the same") {
  const OnAccelerator there;
  const Folder uninterrupted, folder;
  const std::vector<at::Tensor> expected = ran(2, "half", uninterrupted);
  for (const Ended& each : run_case(2, "half", folder, {"0", "20", "die"})) CHECK_FALSE(each.well());
  CHECK(std::filesystem::exists(folder / "runs/checkpoint-00000006.safetensors"));  // of step 18, which overflowed
  check_equal(ran(2, "half", folder), expected);
}
