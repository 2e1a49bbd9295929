// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Running statistics, measured anew.

#include <c10/core/GradMode.h>
#include <c10/util/ScopeExit.h>

#include <functional>
#include <optional>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/train/detail/learner_parts.hpp>
#include <thaw/train/detail/norm_notes.hpp>

#if THAW_DEFINES(train)

namespace thaw::detail {

THAW_INLINE void update_norm_statistics(const Setup& setup, const TrainingData& data) {
  const LayerGroups& groups = setup.groups;
  check_norms_can_be_measured(groups, "Learner::update_norm_statistics");
  const TrainingFlags as_it_was{*groups.module()};
  groups.train();
  std::vector<std::function<void()>> momenta;
  std::vector<at::Tensor> statistics;
  const auto restore = c10::make_scope_exit([&] {
    for (const auto& each : momenta) each();
  });
  for (std::size_t i = 0; i < groups.size(); ++i)
    for (const auto& layer : groups[i].norms)
      if (groups.norm_of(i) != Norm::hold)
        visit_norm(*layer, [&]<class Norm>(Norm& norm) {
          if constexpr (requires { norm.options.momentum(std::nullopt); }) {
            momenta.emplace_back([&norm, old = norm.options.momentum()] { norm.options.momentum(old); });
            norm.options.momentum(std::nullopt);  // LibTorch's way to ask for the plain mean
            norm.reset_running_stats();
            for (const at::Tensor& each : {norm.running_mean, norm.running_var})
              if (each.defined()) statistics.push_back(each);
          }
        });
  if (momenta.empty()) return;
  const c10::NoGradGuard no_grad;
  const CommonRandom common(setup.world);
  BatchStream next = data.train().stream(data.epochs_begun(), 0, setup.world.shard());
  while (const std::optional<Batch> batch = next()) {
    const auto in_forward = setup.world.in_forward(!batch->stand_in);
    (void)setup.task.forward(Batch{.input = batch->input}.to(setup.device()).input);
  }
  if (setup.world.norm_sees_all()) return;
  for (at::Tensor& each : statistics) {  // the mean over processes, as it is one over batches
    setup.world.sum(each);
    each.div_(static_cast<double>(setup.world.size()));
  }
}

}  // namespace thaw::detail

#endif
