// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/core/first_line.hpp>
#include <thaw/core/names.hpp>
#include <thaw/core/out_of_memory.hpp>
#include <thaw/core/random_state.hpp>
#include <thaw/data/source.hpp>
#include <thaw/groups/layer_groups.hpp>
#include <thaw/train/detail/check_mean.hpp>
#include <thaw/train/detail/compute_mode.hpp>
#include <thaw/train/detail/graph_leaves.hpp>
#include <thaw/train/detail/shapes.hpp>
#include <thaw/train/detail/task.hpp>
#include <thaw/train/detail/too_few_samples.hpp>
#include <thaw/train/metric.hpp>
#include <thaw/train/metric_total.hpp>

namespace thaw::detail {

/// "float [32, 3, 224, 224]", and so for each tensor.
inline std::string shapes_text(const Fields& fields) {
  std::string text;
  for (const at::Tensor& tensor : fields)
    text += (text.empty() ? "" : ", ") + std::string(c10::toString(tensor.scalar_type())) + " " +
            sizes_text(tensor.sizes());
  return text;
}

/// What the model makes of a batch; what it cannot take is a DataError that names the batch. Where a layout in memory
/// was asked for, which may be what it cannot take, the error is LibTorch's own.
inline Fields tried_forward(const Task& task, const Fields& input, const LayerGroups& groups, Layout layout,
                            const std::string& what) {
  try {
    return task.forward(input);
  } catch (const c10::Error& error) {
    std::string found = "the model cannot take an input of " + shapes_text(input);
    std::string fix = "give it the shape and type of number that forward takes";
    const GroupParameter& weight = groups[0].parameters[0];
    const auto differs = [&](const at::Tensor& tensor) {
      return tensor.is_floating_point() && tensor.scalar_type() != weight.tensor.scalar_type();
    };
    if (std::ranges::any_of(input, differs)) {
      found += "; its parameter " + weight.name + " is " + c10::toString(weight.tensor.scalar_type());
      fix = "bring both to one type: model->to(torch::kFloat), or input.to(torch::kFloat)";
    } else if (is_out_of_memory(error) || layout == Layout::channels_last) {
      throw;
    }
    throw DataError(what, found + " (" + first_line(error).substr(0, 200) + ")", fix);
  }
}

/// The loss of a batch, likewise; a loss that checks what it is given says it in its own words.
inline at::Tensor tried_loss(const Task& task, const Fields& output, const Fields& target, const std::string& what) {
  try {
    return task.loss(output, target);
  } catch (const c10::Error& error) {
    if (is_out_of_memory(error)) throw;
    if (task.check) {
      task.check(output, target);
      throw;
    }
    throw DataError(what,
                    "the loss cannot take an output of " + shapes_text(output) + " and a target of " +
                        shapes_text(target) + " (" + first_line(error).substr(0, 200) + ")",
                    "give targets of the shape, the type and the values that the loss takes");
  }
}

/// Throws ConfigError where the loss of these samples comes from tensors that could be trained and are in no layer
/// group: of a module that was not registered, say. Nothing would ever move them.
inline void check_leaves(const Task& task, const Batch& batch, const LayerGroups& groups) {
  const RandomState random;
  std::unordered_set<const at::TensorImpl*> known;
  groups.each_tensor([&](const std::string&, const at::Tensor& tensor) { known.insert(tensor.unsafeGetTensorImpl()); });
  at::Tensor loss;
  try {
    loss = task.loss(task.forward(few(batch.input)), few(batch.target));
  } catch (const c10::Error&) {  // so few samples are too few for it, though a batch is not
    return;
  }
  for (const at::Tensor& leaf : graph_leaves(loss))
    if (!known.contains(leaf.unsafeGetTensorImpl()))
      throw ConfigError("Learner",
                        "the loss depends on a " + shapes_text(leaf) +
                            " tensor that requires a gradient and is in no layer group, so nothing would train it",
                        "register each module and parameter of the model (register_module), or detach the tensor");
}

/// Throws DataError where both sources name their classes, and not the same in the same order: a number would be one
/// class in training and another in validation.
inline void check_same_classes(const std::vector<std::string>& train, const std::vector<std::string>& valid) {
  if (!train.empty() && !valid.empty() && train != valid)
    throw DataError("validation data",
                    "its classes are " + join_names(valid) + ", and those of the training data " + join_names(train),
                    "give it the list of the training data, as image_folder(\"valid\", train.classes)");
}

/// Throws DataError for masks of 0 and 255 with a network of two classes: 255 is the foreground, and a loss or a metric
/// that ignores it, as DiceCrossEntropy does by default, would see background alone.
inline void check_masks(const Fields& output, const Fields& target, const std::string& what) {
  if (output.size() != 1 || target.size() != 1 || output[0].dim() < 3) return;
  const at::Tensor& masks = target[0];
  const bool two = output[0].size(1) == 2 || (output[0].size(1) == 1 && masks.dim() + 1 == output[0].dim());
  if (!two || masks.dim() < 3 || masks.is_floating_point() || masks.scalar_type() == at::kBool) return;
  if (masks.eq(255).any().item<bool>() && masks.eq(0).logical_or(masks.eq(255)).all().item<bool>())
    throw DataError(what, "its masks are of 0 and 255, and the network has two classes",
                    "give classes, as masks.eq(255).to(torch::kLong); for pixels that count for no class, take -100");
}

/// Tries one batch of the source on the model, and returns it: what would fail in the middle of training fails here,
/// and says it better.
inline Batch check_source(const Task& task, const DataSource& source, std::int64_t epoch, const Shard& shard,
                          const LayerGroups& groups, Layout layout, const std::string& what,
                          const std::vector<Metric>& metrics = {}) {
  const at::Device device = groups[0].parameters[0].tensor.device();
  const c10::NoGradGuard no_grad;
  const std::optional<Batch> first = source.first(epoch, shard);
  if (!first)
    throw DataError(what, "a second pass over it gives no batches", "give a source that can be run through again");
  if (first->size() == 0) throw no_samples(what);
  for (const at::Tensor& tensor : first->target)
    if (tensor.dim() > 0 && tensor.size(0) == 1 && first->size() > 1)
      throw DataError(what, "a batch has " + std::to_string(first->size()) + " samples and 1 target, for all of them",
                      "give one target per sample: the first dimension runs over samples");
  const Batch batch = first->to(device);
  const Fields output = tried_forward(task, batch.input, groups, layout, what);
  const Fields& target = source.targets().empty() ? batch.target : source.targets();
  if (source.classes().empty()) check_masks(output, target, what);  // else they were read as these classes
  if (task.check) task.check(output, target);
  const at::Tensor loss = tried_loss(task, output, batch.target, what);
  if (loss.numel() != 1)
    throw ConfigError("loss", "it gives " + std::to_string(loss.numel()) + " values for a batch",
                      "return one number: the mean over the samples");
  if (!task.check) check_mean(task.loss, output, batch.target, what);
  for (const Metric& metric : metrics) MetricTotal(metric).add(output, batch.target);
  return batch;
}

}  // namespace thaw::detail
