// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/Context.h>
#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstdint>
#include <mutex>
#include <vector>

#include <thaw/core/accelerator.hpp>
#include <thaw/core/compiled.hpp>

namespace thaw {

/// The state of the generator that LibTorch draws from by default on a device: bytes, as torch.get_rng_state() has
/// them.
struct GeneratorState {
  at::Device device;
  at::Tensor state;
};

[[nodiscard]] GeneratorState generator_state(at::Device device);

/// Those of the CPU, and of every GPU in use.
[[nodiscard]] std::vector<GeneratorState> generator_states();

/// Puts them back.
void set_generator_states(const std::vector<GeneratorState>& states);

/// Seeds every generator that LibTorch draws from by default: torch.manual_seed. What a run then gives depends on the
/// number of threads (OMP_NUM_THREADS) and the processor too, since sums are rounded in another order.
void seed(std::uint64_t value);

/// Remembers the state of every random generator that LibTorch draws from by default, and puts it back when it goes
/// out of scope.
class RandomState {
 public:
  RandomState() = default;
  ~RandomState() { set_generator_states(states_); }  // NOLINT(bugprone-exception-escape): they were read from there
  RandomState(const RandomState&) = delete;
  RandomState& operator=(const RandomState&) = delete;

  /// Whether anything was drawn since.
  [[nodiscard]] bool moved() const;

 private:
  const std::vector<GeneratorState> states_ = generator_states();
};

}  // namespace thaw

#if THAW_DEFINES(core)

namespace thaw {

THAW_INLINE GeneratorState generator_state(at::Device device) {
  at::Generator generator = at::globalContext().defaultGenerator(device);
  const std::scoped_lock lock(generator.mutex());
  return {device, generator.get_state()};
}

THAW_INLINE std::vector<GeneratorState> generator_states() {
  std::vector<GeneratorState> states;
  for (const at::Device& device : devices_in_use()) states.push_back(generator_state(device));
  return states;
}

THAW_INLINE void set_generator_states(const std::vector<GeneratorState>& states) {
  for (const GeneratorState& each : states) {
    at::Generator generator = at::globalContext().defaultGenerator(each.device);
    const std::scoped_lock lock(generator.mutex());
    generator.set_state(each.state);
  }
}

THAW_INLINE void seed(std::uint64_t value) {
  at::manual_seed(value);
}

THAW_INLINE bool RandomState::moved() const {
  return std::ranges::any_of(
      states_, [](const GeneratorState& then) { return !generator_state(then.device).state.equal(then.state); });
}

}  // namespace thaw

#endif
