// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/randperm.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/core/error.hpp>
#include <thaw/recipe/detail/check_data.hpp>
#include <thaw/train/learner_options.hpp>

namespace thaw {

/// Holds a part of the training data back for validation, of each class as much where targets are classes: at least one
/// sample, and never all of a class. The same samples for the same seed. Held-back samples go through the transforms of
/// the source they come from. Throws DataError for a source that cannot give a part of itself (see
/// DataSource::Indexed) and where nothing could be held back.
[[nodiscard]] LearnerData hold_out(const DataSource& source, double part = 0.2, std::uint64_t seed = 0);

}  // namespace thaw

#if THAW_DEFINES(recipe)

namespace thaw {

THAW_INLINE LearnerData hold_out(const DataSource& source, double part, std::uint64_t seed) {
  if (!(part > 0 && part < 1))
    throw ConfigError("hold_out", "part is " + detail::number(part), "give 0 < part < 1: 0.2");
  if (!source.indexed() || !source.indexed()->subset)
    throw DataError("validation data", "there is none, and the training data cannot give a part of itself",
                    "give LearnerOptions::valid, or train on a thaw::InMemory or thaw::vision::ImageSource");
  const std::int64_t samples = source.indexed()->samples;
  const at::Tensor order =
      at::randperm(samples, at::make_generator<at::CPUGeneratorImpl>(seed), at::TensorOptions(at::kLong));
  const at::Tensor labels = detail::labels_of(source);
  std::vector<at::Tensor> held, kept;
  const auto cut = [&](const at::Tensor& some) {
    const auto all = static_cast<double>(some.numel());
    const auto n = std::min(some.numel() - 1, static_cast<std::int64_t>(std::ceil(part * all)));
    held.push_back(some.slice(0, 0, n));
    kept.push_back(some.slice(0, n));
  };
  if (labels.defined()) {
    const at::Tensor shuffled = labels.index_select(0, order);
    for (std::int64_t c = 0; c <= labels.max().item<std::int64_t>(); ++c)
      if (const at::Tensor own = order.masked_select(shuffled.eq(c)); own.numel() > 0) cut(own);
  } else {
    cut(order);
  }
  const at::Tensor valid = std::get<0>(at::cat(held).sort());
  if (valid.numel() == 0)
    throw DataError("validation data", "there is none, and too few training samples to hold some back",
                    "give at least two samples of some class");
  return {.train = source.indexed()->subset(std::get<0>(at::cat(kept).sort())),
          .valid = source.indexed()->subset(valid)};
}

}  // namespace thaw

#endif
