// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/CPUGeneratorImpl.h>

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>

#include <thaw/core/mixed_seed.hpp>
#include <thaw/core/random_state.hpp>
#include <thaw/train/run_state.hpp>
#include <thaw/train/world.hpp>

// What each of several processes draws from.
namespace thaw::detail {

/// From here on a process draws other random numbers than the first, or dropout would be the same in all shards. The
/// first draws what it would draw alone.
inline void draw_apart(const World& world) {
  if (world.is_rank_zero()) return;
  at::Generator generator = at::globalContext().defaultGenerator(at::kCPU);
  std::uint64_t drawn = 0;
  {
    const std::scoped_lock lock(generator.mutex());
    drawn = at::check_generator<at::CPUGeneratorImpl>(generator)->random64();
  }
  seed(seed_of(drawn, world.rank()));
}

/// While it lives, a process draws what the first one draws: a loader that shuffles must do so alike in all.
class CommonRandom {
 public:
  explicit CommonRandom(const World& world) {
    if (world.is_single()) return;
    at::Tensor first = generator_state(at::kCPU).state;
    world.broadcast({first});
    if (world.is_rank_zero()) return;
    own_ = generator_state(at::kCPU);
    set_generator_states({{at::kCPU, first}});
  }
  ~CommonRandom() {  // NOLINT(bugprone-exception-escape): they were read from there
    if (own_) set_generator_states({*own_});
  }
  CommonRandom(const CommonRandom&) = delete;
  CommonRandom& operator=(const CommonRandom&) = delete;

 private:
  std::optional<GeneratorState> own_ = {};
};

/// The states of the generators that the model draws from, of all processes: [processes, bytes].
inline void visit_generators_of(const World& world, const StateVisitor& state, at::Device device) {
  bool known = true;
  const auto one = [&](const std::string& name, at::Device each) {
    at::Tensor all = state.reading() ? at::Tensor() : world.gather(generator_state(each).state.unsqueeze(0));
    state(name, all);
    if (!state.reading()) return;
    known = all.defined() && all.dim() == 2 && all.size(0) == world.size();
    if (known) set_generator_states({{each, all[world.rank()].clone()}});
  };
  one("cpu", at::kCPU);
  if (!device.is_cpu()) one("device", device);
  if (!known) draw_apart(world);  // the run goes on with another number of processes
}

}  // namespace thaw::detail
