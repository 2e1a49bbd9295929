// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/ExpandUtils.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/Reduction.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/binary_cross_entropy_with_logits.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/mse_loss.h>
#include <ATen/ops/nll_loss_nd.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/where.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <utility>

#include <thaw/core/compiled.hpp>
#include <thaw/core/error.hpp>
#include <thaw/train/detail/shapes.hpp>

// A loss gives the mean over a batch as a scalar tensor. Its `check(output, targets)` takes one batch of outputs, and
// the targets of that batch or of all the data.
namespace thaw {

namespace detail {

/// Whether the first target counts, where it lies in host memory and is cheap to read. False says nothing.
bool first_is_kept(const at::Tensor& target, std::int64_t ignore_index);

/// To the number of targets, how much a mean over them is over: those that are not ignored, each by its class's weight.
at::Tensor kept_weight(const at::Tensor& target, const at::Tensor& weight, std::int64_t ignore_index);

/// Throws DataError for a target outside [0, 1], or that is NaN.
void check_probabilities(const std::string& where, const at::Tensor& targets, const std::string& fix);

}  // namespace detail

/// Mean over the batch of -log softmax(output)[target]. `output` is [N, classes] (or [N, classes, ...]), `target` holds
/// class indices, int64 or uint8 [N] (or [N, ...]), or class probabilities, floating-point, of the output's shape.
/// `thaw::cross_entropy` is one; `thaw::CrossEntropy{.label_smoothing = 0.1}` another. As torch's F.cross_entropy: with
/// class weights or ignored targets its mean is over those weights: over all batches together in validation, in a step
/// that accumulates several, and over all processes. A batch in which every target is ignored adds nothing: its loss is
/// 0, where torch's is NaN.
struct CrossEntropy {
  double label_smoothing = 0;        ///< in [0, 1]: this much of every target goes to all classes alike
  at::Tensor weight = {};            ///< [classes]: how much a sample of each counts; the mean is by weight then
  std::int64_t ignore_index = -100;  ///< targets that do not count

  [[nodiscard]] at::Tensor operator()(const at::Tensor& output, const at::Tensor& target) const;

  /// To the batch's samples, how much its mean is over: the share of targets that are not ignored, times their mean
  /// weight.
  [[nodiscard]] at::Tensor counted(const at::Tensor& output, const at::Tensor& target) const;

  /// The same with its weights there: a Learner asks for it, so that no step waits for a copy of them.
  [[nodiscard]] CrossEntropy to(const at::Device& device) const {
    return {label_smoothing, weight.defined() ? weight.to(device) : weight, ignore_index};
  }

  /// Throws ConfigError when the options do not fit this output, DataError when targets are not class indices that it
  /// has. Reads the targets: waits for a device.
  void check(const at::Tensor& output, const at::Tensor& targets) const;

 private:
  void check_options(std::int64_t classes) const;
};

inline const CrossEntropy cross_entropy{};

/// Mean over all entries of -w y log sigmoid(x) - (1 - y) log(1 - sigmoid(x)), x the output, y the target: one logit
/// per label. `target` has the output's shape and holds numbers from 0 to 1, of any dtype. `thaw::bce_with_logits` is
/// one. As torch's F.binary_cross_entropy_with_logits.
struct BinaryCrossEntropy {
  at::Tensor pos_weight = {};  ///< w, how much a positive counts: [labels], or what broadcasts to the output

  /// Throws DataError when the shapes differ.
  [[nodiscard]] at::Tensor operator()(const at::Tensor& output, const at::Tensor& target) const;

  /// See CrossEntropy::to.
  [[nodiscard]] BinaryCrossEntropy to(const at::Device& device) const {
    return {pos_weight.defined() ? pos_weight.to(device) : pos_weight};
  }

  /// Throws ConfigError when pos_weight does not fit this output, DataError when the targets' shape does not, or one of
  /// them is outside [0, 1]. Reads the targets: waits for a device.
  void check(const at::Tensor& output, const at::Tensor& targets) const;
};

inline const BinaryCrossEntropy bce_with_logits{};

/// Mean over all entries of (output - target)^2. `target` has the output's shape: [N] against [N, 1], which LibTorch
/// would broadcast to every pair, is refused. `thaw::mse` is one.
struct MeanSquaredError {
  /// Throws DataError when the shapes differ.
  [[nodiscard]] at::Tensor operator()(const at::Tensor& output, const at::Tensor& target) const;

  /// Throws DataError when the targets' shape does not fit this output, or one of them is not finite.
  void check(const at::Tensor& output, const at::Tensor& targets) const;
};

inline constexpr MeanSquaredError mse{};

/// What a Learner takes torch::nn::NLLLoss for: the same mean of -output[target], `output` the log-probabilities
/// [N, classes], where a batch in which every target is ignored adds nothing. As CrossEntropy.
struct NegativeLogLikelihood {
  at::Tensor weight = {};
  std::int64_t ignore_index = -100;

  [[nodiscard]] at::Tensor operator()(const at::Tensor& output, const at::Tensor& target) const;
  [[nodiscard]] at::Tensor counted(const at::Tensor&, const at::Tensor& target) const {
    return detail::kept_weight(target, weight, ignore_index);
  }
};

}  // namespace thaw

#if THAW_DEFINES(train)

namespace thaw::detail {

THAW_INLINE void check_probabilities(const std::string& where, const at::Tensor& targets, const std::string& fix) {
  if (targets.numel() == 0) return;
  const auto lowest = targets.min().to(at::kDouble).item<double>();
  const auto highest = targets.max().to(at::kDouble).item<double>();
  if (!(lowest >= 0 && highest <= 1))
    throw DataError(where, "there is a target " + (std::isnan(lowest) ? "NaN" : number(lowest < 0 ? lowest : highest)),
                    fix);
}

THAW_INLINE at::Tensor kept_weight(const at::Tensor& target, const at::Tensor& weight, std::int64_t ignore_index) {
  const at::Tensor kept = target.ne(ignore_index);
  if (!weight.defined()) return kept.to(at::kDouble).mean();
  const at::Tensor classes = (target.to(at::kLong) * kept).flatten();
  return (weight.to(target.device(), at::kDouble).index_select(0, classes) * kept.flatten()).mean();
}

THAW_INLINE bool first_is_kept(const at::Tensor& target, std::int64_t ignore_index) {
  if (!target.is_cpu() || target.numel() == 0) return false;
  if (target.scalar_type() == at::kLong) return *target.const_data_ptr<std::int64_t>() != ignore_index;
  return target.scalar_type() == at::kByte && std::cmp_not_equal(*target.const_data_ptr<std::uint8_t>(), ignore_index);
}

}  // namespace thaw::detail

namespace thaw {

THAW_INLINE at::Tensor CrossEntropy::operator()(const at::Tensor& output, const at::Tensor& target) const {
  at::Tensor weights = weight.defined() ? weight.to(output.device(), output.scalar_type()) : weight;
  if (target.is_floating_point() || detail::first_is_kept(target, ignore_index))
    return at::cross_entropy_loss(output, target, weights, at::Reduction::Mean, ignore_index, label_smoothing);
  // Without a look at a device's numbers: where nothing counts, class 0 stands in, and its loss does not count.
  const at::Tensor kept = target.ne(ignore_index).any();
  if (weights.defined()) weights = at::where(kept, weights, 1);  // class 0 may have a weight of 0
  return at::cross_entropy_loss(output, target.mul(kept.to(target.scalar_type())), weights, at::Reduction::Mean,
                                ignore_index, label_smoothing) *
         kept.to(output.scalar_type());
}

THAW_INLINE at::Tensor CrossEntropy::counted(const at::Tensor& output, const at::Tensor& target) const {
  if (target.is_floating_point()) return at::ones({}, output.options().dtype(at::kDouble).requires_grad(false));
  return detail::kept_weight(target, weight, ignore_index);
}

THAW_INLINE void CrossEntropy::check(const at::Tensor& output, const at::Tensor& targets) const {
  if (output.dim() < 2)
    throw DataError("cross_entropy", "the model's output has " + std::to_string(output.dim()) + " dimension(s)",
                    "let the model return [samples, classes]");
  const std::int64_t classes = output.size(1);
  if (classes == 1)
    throw DataError("cross_entropy", "the model's output has one class, of which the loss is always 0",
                    "give the model a head with more classes, or take thaw::bce_with_logits for one logit per sample");
  check_options(classes);
  if (targets.is_floating_point()) {
    if (targets.dim() != output.dim())
      throw DataError("cross_entropy", "targets are floating-point", "give class indices: target.to(torch::kLong)");
    detail::check_same_shape("cross_entropy", output.sizes(), targets.sizes(), /*same_samples=*/false);
    detail::check_probabilities("cross_entropy", targets, "give probabilities of classes");
    if (ignore_index >= 0)
      throw ConfigError("cross_entropy", "ignore_index does not go with targets that are probabilities",
                        "leave it out, or give class indices");
    return;
  }
  detail::check_class_shapes("cross_entropy", output.sizes(), targets.sizes(), /*same_samples=*/false);
  if (targets.scalar_type() != at::kLong && targets.scalar_type() != at::kByte)
    throw DataError("cross_entropy", std::string("targets are ") + c10::toString(targets.scalar_type()),
                    "give them as int64: target.to(torch::kLong)");
  const at::Tensor all = targets.to(at::kLong), labels = all.masked_select(all.ne(ignore_index));
  if (labels.numel() == 0)
    throw DataError("cross_entropy", "every target is ignore_index, " + std::to_string(ignore_index),
                    "give targets to learn from");
  const auto lowest = labels.min().item<std::int64_t>(), highest = labels.max().item<std::int64_t>();
  if (highest >= classes || lowest < 0)
    throw DataError(
        "cross_entropy",
        "there is a label " + std::to_string(highest >= classes ? highest : lowest) + ", but the model's output has " +
            std::to_string(classes) + " classes",
        "number the classes from 0 to " + std::to_string(classes - 1) + ", or give the model a head with more classes");
}

THAW_INLINE void CrossEntropy::check_options(std::int64_t classes) const {
  if (!(label_smoothing >= 0 && label_smoothing <= 1))
    throw ConfigError("cross_entropy", "label_smoothing is " + detail::number(label_smoothing),
                      "take a number from 0 to 1: 0.1, say");
  if (weight.defined() && (weight.dim() != 1 || weight.size(0) != classes))
    throw ConfigError("cross_entropy",
                      "weight is " + detail::sizes_text(weight.sizes()) + ", but the model's output has " +
                          std::to_string(classes) + " classes",
                      "give one weight per class: [" + std::to_string(classes) + "]");
}

THAW_INLINE at::Tensor BinaryCrossEntropy::operator()(const at::Tensor& output, const at::Tensor& target) const {
  detail::check_same_shape("bce_with_logits", output.sizes(), target.sizes());
  const at::Tensor weights = pos_weight.defined() ? pos_weight.to(output.device(), output.scalar_type()) : pos_weight;
  return at::binary_cross_entropy_with_logits(output, target.to(output.scalar_type()), {}, weights);
}

THAW_INLINE void BinaryCrossEntropy::check(const at::Tensor& output, const at::Tensor& targets) const {
  if (pos_weight.defined() && !at::is_expandable_to(pos_weight.sizes(), output.sizes()))
    throw ConfigError("bce_with_logits",
                      "pos_weight is " + detail::sizes_text(pos_weight.sizes()) + ", the model's output " +
                          detail::sizes_text(output.sizes()),
                      "give one weight per label");
  detail::check_same_shape("bce_with_logits", output.sizes(), targets.sizes(), /*same_samples=*/false);
  detail::check_probabilities("bce_with_logits", targets, "give 0 or 1 per label, or a probability");
}

THAW_INLINE at::Tensor NegativeLogLikelihood::operator()(const at::Tensor& output, const at::Tensor& target) const {
  const at::Tensor weights = weight.defined() ? weight.to(output.device(), output.scalar_type()) : weight;
  const at::Tensor loss = at::nll_loss_nd(output, target, weights, at::Reduction::Mean, ignore_index);
  return at::where(target.ne(ignore_index).any(), loss, 0);
}

THAW_INLINE void MeanSquaredError::check(const at::Tensor& output, const at::Tensor& targets) const {
  detail::check_same_shape("mse", output.sizes(), targets.sizes(), /*same_samples=*/false);
  if (!targets.isfinite().all().item<bool>())
    throw DataError("mse", "there is a target that is NaN or infinite", "leave such samples out");
}

THAW_INLINE at::Tensor MeanSquaredError::operator()(const at::Tensor& output, const at::Tensor& target) const {
  detail::check_same_shape("mse", output.sizes(), target.sizes());
  return at::mse_loss(output, target.to(output.scalar_type()));
}

}  // namespace thaw

#endif
