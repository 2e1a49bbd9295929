#pragma once

#include <ATen/CPUGeneratorImpl.h>

#include <cstdint>
#include <mutex>
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
