// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/checkpoint/checkpoint.hpp>
#include <thaw/checkpoint/detail/folder.hpp>

#include <sys/wait.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>
#include <unistd.h>

#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <chrono>
#include <csignal>
#include <fstream>
#include <stdexcept>
#include <string>
#include <thaw/data/in_memory.hpp>
#include <thaw/train/loss.hpp>
#include <thaw/train/metric.hpp>
#include <thread>
#include <vector>

#include "support/folder.hpp"
#include "support/sigint.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using thaw::Checkpoint;
using thaw::test::Folder;
using thaw::test::names_in;
using Names = std::vector<std::string>;

namespace {

struct Setup {
  explicit Setup(std::uint64_t seed = 1) {
    at::manual_seed(seed);
    torch::nn::Linear last(6, 3), first(4, 6);  // the same weights, in whichever order a compiler evaluates arguments
    net = torch::nn::Sequential(first, last);
    at::manual_seed(2);
    const thaw::InMemory data(
        {.input = at::randn({24, 4}), .target = at::randint(3, {24}, at::kLong), .batch_size = 8});
    learner = std::make_unique<thaw::Learner>(
        net, thaw::LayerGroups::per_child(net), thaw::cross_entropy,
        thaw::LearnerOptions{.train = data, .valid = data, .metrics = {thaw::accuracy()}});
  }
  thaw::Learner* operator->() const { return learner.get(); }

  torch::nn::Sequential net{nullptr};
  std::unique_ptr<thaw::Learner> learner;
};

bool same(const torch::nn::Sequential& a, const torch::nn::Sequential& b) {
  for (std::size_t i = 0; i < a->parameters().size(); ++i)
    if (!a->parameters()[i].equal(b->parameters()[i])) return false;
  return true;
}

void turn_a_bit(const std::filesystem::path& path) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(std::filesystem::file_size(path) / 2));
  const char old = static_cast<char>(file.peek());
  file.put(static_cast<char>(old ^ 4));
}

/// Ends a run at a step, as a fault of the user's own would.
struct FailAt {
  std::int64_t step;
  void on_step_end(const thaw::StepEnd& event) const {
    if (event.step == step) throw std::runtime_error("the user's own");
  }
};

/// Sends a signal to this process at a step.
struct SignalAt {
  std::int64_t step;
  int signal;
  void on_step_end(const thaw::StepEnd& event) const {
    if (event.step == step) std::raise(signal);
  }
};

}  // namespace

TEST_CASE("checkpoints are written as often as asked, and the newest are kept") {
  const Folder folder;
  Setup run;
  SECTION("each epoch, and at the stage's end") {
    run->fit({.epochs = 4, .lr = 1e-2}, Checkpoint{.dir = folder / "a", .keep = 2});
    CHECK(names_in(folder / "a") == Names{"checkpoint-00000004.safetensors", "checkpoint-00000005.safetensors"});
  }
  SECTION("each second step") {
    run->fit({.epochs = 2, .lr = 1e-2}, Checkpoint{.dir = folder / "a", .every = {.steps = 2}, .keep = 9});
    CHECK(names_in(folder / "a").size() == 3 + 1);
  }
  SECTION("each second step of three") {
    run->fit({.epochs = 1, .lr = 1e-2}, Checkpoint{.dir = folder / "a", .every = {.steps = 2}, .keep = 9});
    CHECK(names_in(folder / "a").size() == 1 + 1);
  }
  SECTION("each second epoch and each second step, each counting for itself") {
    run->fit({.epochs = 2, .lr = 1e-2}, Checkpoint{.dir = folder / "a", .every = {.epochs = 2, .steps = 2}, .keep = 9});
    CHECK(names_in(folder / "a").size() == 1 + 3 + 1);  // the second epoch, three times two steps, the stage's end
  }
  SECTION("each epoch and each second step") {
    run->fit({.epochs = 2, .lr = 1e-2}, Checkpoint{.dir = folder / "a", .every = {.epochs = 1, .steps = 2}, .keep = 9});
    CHECK(names_in(folder / "a").size() == 2 + 3 + 1);
  }
  SECTION("by time") {
    run->fit({.epochs = 2, .lr = 1e-2}, Checkpoint{.dir = folder / "a", .every = {.seconds = 1e-9}, .keep = 99});
    CHECK(names_in(folder / "a").size() == 2 * (3 + 1) + 1);  // at each step, each epoch, the stage's end
  }
  SECTION("never but at the end") {
    run->fit({.epochs = 2, .lr = 1e-2}, Checkpoint{.dir = folder / "a", .every = {}});
    CHECK(names_in(folder / "a") == Names{"checkpoint-00000001.safetensors"});
  }
  SECTION("two fits count on") {
    run->fit({.epochs = 1, .lr = 1e-2}, Checkpoint{.dir = folder / "a"});
    run->fit({.epochs = 1, .lr = 1e-2}, Checkpoint{.dir = folder / "a"});
    CHECK(names_in(folder / "a").back() == "checkpoint-00000004.safetensors");
  }
}

TEST_CASE("by default: each epoch, by the training thread; nothing else asks for one") {
  CHECK(Checkpoint{}.every.epochs == 1);
  CHECK_FALSE(Checkpoint{}.asynchronous);
  CHECK(thaw::Every{}.epochs == 0);
  CHECK(thaw::Every{}.steps == 0);
  CHECK(thaw::Every{}.seconds == 0);
}

TEST_CASE("a resumed run writes its checkpoints when the straight one would") {
  struct Written {
    std::string name;
    std::int64_t after;  // how many steps
    bool operator==(const Written&) const = default;
  };
  const auto written_in = [](const std::filesystem::path& folder) {
    std::vector<Written> all;
    for (const std::string& name : names_in(folder)) {
      Setup reader;
      REQUIRE(thaw::resume(*reader.learner, folder / name));
      all.push_back({name, reader->history().steps_done});
    }
    return all;
  };
  const thaw::Stage converges{.epochs = 6, .lr = 1e-2},
      diverges{.epochs = 6, .lr = 3, .schedule = [](double) { return 1.0; }};  // its best epoch is the first
  for (const thaw::Stage& stage : {converges, diverges}) {
    const Folder folder;
    Setup straight, cut, next(9);
    const auto to = [&](const char* name) {
      return Checkpoint{.dir = folder / name, .every = {.epochs = 2, .steps = 7}, .keep = 99, .best = "valid_loss"};
    };
    straight->fit(stage, to("a"));
    CHECK_THROWS_WITH(cut->fit(stage, to("b"), FailAt{11}), "the user's own");  // in the fourth epoch
    REQUIRE(thaw::resume(*next.learner, folder / "b"));
    next->fit(stage, to("b"), FailAt{99});
    CHECK((written_in(folder / "b") == written_in(folder / "a")));
  }
}

TEST_CASE("a Checkpoint of the Learner's own takes its folder when a fit goes on, not when one is done") {
  const Folder folder;
  const auto learner_of = [&](const Setup& setup) {
    return thaw::Learner(setup.net, thaw::LayerGroups::per_child(setup.net), thaw::cross_entropy,
                         {.train = setup->data().train, .callbacks = {Checkpoint{.dir = folder / "a"}}});
  };
  Setup first, second(9);
  thaw::Learner done = learner_of(first), next = learner_of(second);
  done.fit({.epochs = 1, .lr = 1e-2});
  next.resume(done.run_state());
  next.fit({.epochs = 1, .lr = 1e-2});  // is done already: the run is between two fits
  REQUIRE(next.history().steps_done == 3);
  CHECK_NOTHROW(thaw::detail::CheckpointFolder(folder / "a", next.run_id()));
}

TEST_CASE("the best epoch's checkpoint stays, whatever else goes") {
  const Folder folder;
  Setup run;
  std::vector<double> losses;
  run->fit({.epochs = 6, .lr = 3, .schedule = [](double) { return 1.0; }},  // it diverges
           Checkpoint{.dir = folder / "a", .keep = 1, .best = "valid_loss"});
  for (const thaw::EpochRecord& epoch : run->history().epochs) losses.push_back(epoch.valid->loss);
  const auto best = std::ranges::min_element(losses) - losses.begin();
  REQUIRE(best + 1 < std::ssize(losses));
  CHECK(names_in(folder / "a") == Names{"best.safetensors", "checkpoint-00000007.safetensors"});

  Setup next(9);
  CHECK(thaw::resume(*next.learner, folder / "a" / "best.safetensors").from == folder / "a" / "best.safetensors");
  CHECK(next->validate().loss == losses.at(static_cast<std::size_t>(best)));
}

TEST_CASE("resume goes on from the newest whole checkpoint, and says which it passed over") {
  const Folder folder;
  Setup straight;
  straight->fit({.epochs = 3, .lr = 1e-2});

  Setup cut;
  CHECK_THROWS_WITH(
      cut->fit({.epochs = 3, .lr = 1e-2}, Checkpoint{.dir = folder / "a", .every = {.steps = 1}, .keep = 9}, FailAt{8}),
      "the user's own");
  REQUIRE(names_in(folder / "a").size() == 7);  // that of step 8 comes after what failed

  SECTION("the last") {
    Setup next(9);
    const thaw::ResumeReport report = thaw::resume(*next.learner, folder / "a");
    CHECK(report.from == folder / "a" / "checkpoint-00000007.safetensors");
    CHECK(report.passed_over.empty());
    next->fit({.epochs = 3, .lr = 1e-2}, Checkpoint{.dir = folder / "a", .every = {.steps = 1}, .keep = 9}, FailAt{99});
    CHECK(same(next.net, straight.net));
  }
  SECTION("the last but two, when those are damaged; they are written over in time") {
    turn_a_bit(folder / "a" / "checkpoint-00000007.safetensors");
    std::filesystem::resize_file(folder / "a" / "checkpoint-00000006.safetensors", 100);
    Setup next(9);
    const thaw::ResumeReport report = thaw::resume(*next.learner, folder / "a");
    CHECK(report.from == folder / "a" / "checkpoint-00000005.safetensors");
    REQUIRE(report.passed_over.size() == 2);
    CHECK_THAT(report.passed_over[0], ContainsSubstring("checkpoint-00000007.safetensors: is damaged"));
    next->fit({.epochs = 3, .lr = 1e-2}, Checkpoint{.dir = folder / "a", .every = {.steps = 1}, .keep = 1}, FailAt{99});
    CHECK(same(next.net, straight.net));
    CHECK(names_in(folder / "a") == Names{"checkpoint-00000010.safetensors"});
  }
  SECTION("none, when all are damaged") {
    for (const std::string& name : names_in(folder / "a")) turn_a_bit(folder / "a" / name);
    Setup next;
    CHECK_THROWS_MATCHES(thaw::resume(*next.learner, folder / "a"), thaw::FileError,
                         MessageMatches(ContainsSubstring("none of its checkpoints is whole")));
  }
}

TEST_CASE("where there is nothing to resume, a run begins") {
  const Folder folder;
  Setup run;
  CHECK_FALSE(thaw::resume(*run.learner, folder / "missing"));
  CHECK_FALSE(thaw::resume(*run.learner, folder / ""));
}

TEST_CASE("a thread writes the same checkpoints") {
  const Folder folder;
  Setup run, beside;
  run->fit({.epochs = 3, .lr = 1e-2}, Checkpoint{.dir = folder / "a", .every = {.steps = 1}, .keep = 99});
  beside->fit({.epochs = 3, .lr = 1e-2},
              Checkpoint{.dir = folder / "b", .every = {.steps = 1}, .keep = 99, .asynchronous = true});
  CHECK(names_in(folder / "a") == names_in(folder / "b"));
  for (const std::string& name : names_in(folder / "a")) {
    const thaw::RunState a = thaw::read_checkpoint(folder / "a" / name), b = thaw::read_checkpoint(folder / "b" / name);
    REQUIRE(a.size() == b.size());
    for (const auto& [key, tensor] : a)
      if (key != "run" && !key.ends_with("seconds")) {
        INFO(name << " " << key);
        const bool nan = tensor.is_floating_point() && tensor.isnan().any().item<bool>();
        CHECK((nan ? tensor.nan_to_num(5).equal(b.at(key).nan_to_num(5)) : tensor.equal(b.at(key))));
      }
  }
}

TEST_CASE("what a thread could not write ends the fit, and the Learner can be used") {
  const Folder folder;
  Setup run;
  struct Remove {
    std::filesystem::path path;
    void on_epoch_end(const thaw::EpochEnd& event) const {
      if (event.record.epoch == 2) std::filesystem::remove_all(path);
    }
  };
  CHECK_THROWS_MATCHES(
      run->fit({.epochs = 9, .lr = 1e-2}, Checkpoint{.dir = folder / "a", .asynchronous = true}, Remove{folder / "a"}),
      thaw::FileError, MessageMatches(ContainsSubstring("No such file or directory")));
  CHECK(run->fit({.epochs = 1, .lr = 1e-2}, Checkpoint{.dir = folder / "b"}).epoch == 1);
}

TEST_CASE("what a thread could not write ends the fit at the next step, not at the next checkpoint") {
  const Folder folder;
  Setup run;
  struct RemoveThenWait {
    std::filesystem::path path;
    void on_epoch_end(const thaw::EpochEnd&) const { std::filesystem::remove_all(path); }
    void on_step_end(const thaw::StepEnd& event) const {  // the first after the checkpoint
      if (event.step == 4) std::this_thread::sleep_for(std::chrono::milliseconds(300));
    }
  };
  CHECK_THROWS_AS(run->fit({.epochs = 9, .lr = 1e-2}, Checkpoint{.dir = folder / "a", .asynchronous = true},
                           RemoveThenWait{folder / "a"}),
                  thaw::FileError);
  CHECK(run->history().steps.size() == 4);
}

TEST_CASE("a folder that another run wrote to, or is writing to, or that is a file, is refused before the first step") {
  const Folder folder;
  Setup first, second(9);
  first->fit({.epochs = 1, .lr = 1e-2}, Checkpoint{.dir = folder / "a"});
  const at::Tensor before = second.net->parameters()[0].detach().clone();
  CHECK_THROWS_MATCHES(second->fit({.epochs = 1, .lr = 1e-2}, Checkpoint{.dir = folder / "a"}), thaw::ConfigError,
                       MessageMatches(ContainsSubstring("holds checkpoints of another run")));
  CHECK_THROWS_MATCHES(
      second->fit({.epochs = 1, .lr = 1e-2}, Checkpoint{.dir = folder / "b"}, Checkpoint{.dir = folder / "b"}),
      thaw::ConfigError, MessageMatches(ContainsSubstring("another Checkpoint writes there now")));
  std::ofstream(folder / "file") << "x";
  CHECK_THROWS_MATCHES(second->fit({.epochs = 1, .lr = 1e-2}, Checkpoint{.dir = folder / "file"}), thaw::FileError,
                       MessageMatches(ContainsSubstring("is a file")));
  CHECK_THROWS_MATCHES(second->fit({.epochs = 1, .lr = 1e-2}, Checkpoint{.dir = folder / "file" / "below"}),
                       thaw::FileError, MessageMatches(ContainsSubstring("Not a directory")));
  CHECK(second.net->parameters()[0].equal(before));
}

TEST_CASE("a checkpoint that names no run is taken for another run's, and is still there") {
  const Folder folder;
  std::filesystem::create_directory(folder / "a");
  const auto file = folder / "a" / "checkpoint-00000001.safetensors";
  std::ofstream(file) << std::string("\x08\0\0\0\0\0\0\0{}      ", 16);  // safetensors without metadata
  Setup run;
  CHECK_THROWS_MATCHES(run->fit({.epochs = 1, .lr = 1e-2}, Checkpoint{.dir = folder / "a"}), thaw::ConfigError,
                       MessageMatches(ContainsSubstring("holds checkpoints of another run") &&
                                      ContainsSubstring("name another folder")));
  CHECK(run->history().steps.empty());
  CHECK(names_in(folder / "a") == Names{"checkpoint-00000001.safetensors"});
  CHECK(std::filesystem::file_size(file) == 16);
}

TEST_CASE("values that make no sense are refused") {
  const Folder folder;
  Setup run;
  const auto refused = [&](const Checkpoint& checkpoint, const std::string& why) {
    CHECK_THROWS_MATCHES(run->fit({.epochs = 1}, checkpoint), thaw::ConfigError,
                         MessageMatches(ContainsSubstring(why)));
  };
  refused({.dir = folder / "a", .keep = 0}, "keep is 0");
  refused({.dir = folder / "a", .every = {.steps = -1}}, "every is negative");
  refused({.dir = folder / "a", .best = "accurracy"}, "nothing is called \"accurracy\"");
  CHECK_FALSE(std::filesystem::exists(folder / "a"));
}

TEST_CASE("what a killed process was writing is removed, what is not thaw's stays") {
  const Folder folder;
  std::filesystem::create_directory(folder / "a");
  for (const char* name : {"checkpoint-00000003.safetensors.123-456.tmp", "best.safetensors.link.tmp", "notes.txt",
                           "checkpoint-3.safetensors", "my.safetensors.tmp"})
    std::ofstream(folder / "a" / name) << "x";
  Setup run;
  run->fit({.epochs = 1, .lr = 1e-2}, Checkpoint{.dir = folder / "a", .every = {}});
  CHECK(names_in(folder / "a") ==
        Names{"checkpoint-00000001.safetensors", "checkpoint-3.safetensors", "my.safetensors.tmp", "notes.txt"});
}

TEST_CASE("a signal lets the step end, then writes a checkpoint, then throws, and the default handlers are back") {
  const int signal = GENERATE(SIGINT, SIGTERM);
  const thaw::test::Sigint as_in_a_fresh_program(SIG_DFL, signal);
  const Folder folder;
  Setup straight;
  straight->fit({.epochs = 3, .lr = 1e-2});
  Setup run;
  const Checkpoint checkpoint{.dir = folder / "a", .every = {}, .on_signal = thaw::OnSignal::raise};
  CHECK_THROWS_MATCHES(
      run->fit({.epochs = 3, .lr = 1e-2}, checkpoint, SignalAt{4, signal}), thaw::Interrupted,
      MessageMatches(ContainsSubstring(signal == SIGINT ? "interrupted by ctrl-C" : "asked to end by SIGTERM")));
  CHECK(run->history().steps.size() == 4);
  CHECK(names_in(folder / "a") == Names{"checkpoint-00000001.safetensors"});
  struct sigaction now{};
  ::sigaction(signal, nullptr, &now);
  CHECK(now.sa_handler == SIG_DFL);

  Setup next(9);
  REQUIRE(thaw::resume(*next.learner, folder / "a"));
  next->fit({.epochs = 3, .lr = 1e-2}, checkpoint, SignalAt{99, signal});
  CHECK(same(next.net, straight.net));
}

TEST_CASE("signals are left alone where that is asked, and after a fit that failed") {
  const thaw::test::Sigint as_in_a_fresh_program;
  const Folder folder;
  struct Look {
    bool* is_default;
    void on_epoch_begin(const thaw::EpochBegin&) const { *is_default = thaw::test::Sigint::current() == SIG_DFL; }
  };
  bool is_default = false;
  Setup run;
  run->fit({.epochs = 1}, Checkpoint{.dir = folder / "a", .on_signal = thaw::OnSignal::not_ours}, Look{&is_default});
  CHECK(is_default);
  run->fit({.epochs = 1}, Checkpoint{.dir = folder / "a"}, Look{&is_default});
  CHECK_FALSE(is_default);
  CHECK_THROWS_WITH(run->fit({.epochs = 1}, Checkpoint{.dir = folder / "a"}, FailAt{2}), "the user's own");
  CHECK(thaw::test::Sigint::current() == SIG_DFL);
  // a signal that the failing step had no time to obey is the exception's
  const Checkpoint raising{.dir = folder / "a", .on_signal = thaw::OnSignal::raise};
  CHECK_THROWS_WITH(run->fit({.epochs = 1}, raising, SignalAt{2, SIGINT}, FailAt{2}), "the user's own");
}

TEST_CASE("a program that a signal ends has its checkpoint whole, also where a thread writes it") {
  const Folder folder;
  const pid_t child = ::fork();
  if (child == 0) {
    std::signal(SIGTERM, SIG_DFL);
    at::manual_seed(1);
    const torch::nn::Sequential net(torch::nn::Linear(4, 3000), torch::nn::Linear(3000, 900),
                                    torch::nn::Linear(900, 3));
    thaw::Learner learner(
        net, thaw::LayerGroups::per_child(net), thaw::cross_entropy,
        {.train =
             thaw::InMemory({.input = at::randn({6, 4}), .target = at::randint(3, {6}, at::kLong), .batch_size = 2})});
    try {
      learner.fit({.epochs = 3, .lr = 1e-2}, Checkpoint{.dir = folder / "a", .every = {}, .asynchronous = true},
                  SignalAt{2, SIGTERM});
    } catch (...) {
    }
    ::_exit(9);  // it did not end
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGTERM);
  CHECK(names_in(folder / "a") == Names{"checkpoint-00000001.safetensors"});
  CHECK_NOTHROW(thaw::read_checkpoint(folder / "a" / "checkpoint-00000001.safetensors"));
}

TEST_CASE("the signals that schedulers send before they kill write a checkpoint where they are named") {
  const int signal = GENERATE(SIGUSR1, SIGUSR2, SIGXCPU);
  const thaw::test::Sigint as_in_a_fresh_program(SIG_DFL, signal);
  const Folder folder;
  Setup run;
  const Checkpoint checkpoint{.dir = folder / "a",
                              .every = {},
                              .on_signal = thaw::OnSignal::raise,
                              .signals = {SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGXCPU}};
  const std::string name = signal == SIGUSR1 ? "SIGUSR1" : signal == SIGUSR2 ? "SIGUSR2" : "SIGXCPU";
  CHECK_THROWS_MATCHES(run->fit({.epochs = 3, .lr = 1e-2}, checkpoint, SignalAt{4, signal}), thaw::Interrupted,
                       MessageMatches(ContainsSubstring("asked to end by " + name)));
  CHECK(run->history().steps.size() == 4);
  CHECK(names_in(folder / "a") == Names{"checkpoint-00000001.safetensors"});
}

TEST_CASE("signals that cannot wait for a checkpoint are refused before the first step") {
  const Folder folder;
  for (const int signal : {SIGKILL, SIGSTOP, SIGSEGV, SIGABRT, 0, 12345}) {
    Setup run;
    CHECK_THROWS_AS(run->fit({.epochs = 1}, Checkpoint{.dir = folder / "a", .signals = {SIGTERM, signal}}),
                    thaw::ConfigError);
    CHECK(run->history().steps.empty());
  }
}
