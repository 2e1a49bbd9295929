// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/core/error.hpp>

namespace thaw::detail {

/// "[8, 3, 224, 224]".
std::string sizes_text(at::IntArrayRef sizes);

/// The shape of the targets that go with an output of the classifier's: without dimension 1.
std::vector<std::int64_t> without_classes(at::IntArrayRef output);

/// `where` compares classes: throws DataError unless the output is [N, classes, ...] and the target [N, ...]. The first
/// dimension counts only where `same_samples`: the targets may be those of more than one batch.
void check_class_shapes(const std::string& where, at::IntArrayRef output, at::IntArrayRef target,
                        bool same_samples = true);

/// `where` compares entry by entry: throws DataError unless output and target have one shape, so that nothing is
/// broadcast. The first dimension counts only where `same_samples`.
void check_same_shape(const std::string& where, at::IntArrayRef output, at::IntArrayRef target,
                      bool same_samples = true);

}  // namespace thaw::detail

#if THAW_DEFINES(train)

namespace thaw::detail {

THAW_INLINE std::string sizes_text(at::IntArrayRef sizes) {
  std::string text = "[";
  for (std::size_t i = 0; i < sizes.size(); ++i) text += (i ? ", " : "") + std::to_string(sizes[i]);
  return text + "]";
}

THAW_INLINE std::vector<std::int64_t> without_classes(at::IntArrayRef output) {
  std::vector<std::int64_t> sizes = output.vec();
  sizes.erase(sizes.begin() + 1);
  return sizes;
}

THAW_INLINE void check_class_shapes(const std::string& where, at::IntArrayRef output, at::IntArrayRef target,
                                    bool same_samples) {
  if (output.size() < 2)
    throw DataError(where, "the model's output has " + std::to_string(output.size()) + " dimension(s)",
                    "let the model return [samples, classes]");
  const std::vector<std::int64_t> wanted = without_classes(output);
  const std::size_t first = same_samples ? 0 : 1;
  if (target.size() == wanted.size() && target.slice(first) == at::IntArrayRef(wanted).slice(first)) return;
  std::string fix = "give targets " + sizes_text(wanted) + ", or let the model return its classes along dimension 1";
  if (target.size() == output.size() && target[1] == 1)
    fix = "drop the target's dimension 1: target.squeeze(1)";
  else if (output.size() == 3 && target.size() == 2 && output[1] == target[1])
    fix = "the classes go along dimension 1: output.transpose(1, 2)";
  throw DataError(where, "the output is " + sizes_text(output) + ", but the targets are " + sizes_text(target), fix);
}

THAW_INLINE void check_same_shape(const std::string& where, at::IntArrayRef output, at::IntArrayRef target,
                                  bool same_samples) {
  const std::size_t first = same_samples || output.empty() ? 0 : 1;
  if (output.size() == target.size() && output.slice(first) == target.slice(first)) return;
  std::string fix = "give output and targets one shape: broadcasting would compare every pair";
  if (output.size() == target.size() + 1 && output.back() == 1)
    fix = "output.squeeze(-1), or target.unsqueeze(-1): broadcasting would compare every pair";
  else if (target.size() == output.size() + 1 && target.back() == 1)
    fix = "target.squeeze(-1), or output.unsqueeze(-1): broadcasting would compare every pair";
  throw DataError(where, "the output is " + sizes_text(output) + ", but the targets are " + sizes_text(target), fix);
}

}  // namespace thaw::detail

#endif
