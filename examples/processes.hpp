// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <thaw/train/world.hpp>

#include <cstdio>

#ifdef THAW_EXAMPLE_DISTRIBUTED
#include <thaw/distributed/data_parallel.hpp>
#endif

namespace example {

/// The processes that a launcher started, or this one alone. All but the first print nothing.
class Processes {
 public:
  Processes() {
    if (!first()) (void)std::freopen("/dev/null", "w", stdout);
  }

#ifdef THAW_EXAMPLE_DISTRIBUTED
  [[nodiscard]] bool first() const { return processes_.rank() == 0; }
  /// For one Learner.
  [[nodiscard]] thaw::World world() const {
    return thaw::distributed::data_parallel(processes_, {.sync_batch_norm = true});
  }

 private:
  thaw::distributed::Processes processes_ = thaw::distributed::init();
#else  // Gloo's headers are not here
  [[nodiscard]] bool first() const { return true; }
  [[nodiscard]] thaw::World world() const { return {}; }
#endif
};

}  // namespace example
