// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <c10/core/GradMode.h>
#include <torch/nn/module.h>
#include <torch/optim/optimizer.h>
#include <torch/serialize/archive.h>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/atomic_file.hpp>
#include <thaw/core/cast_problem.hpp>
#include <thaw/core/error.hpp>
#include <thaw/core/first_line.hpp>
#include <thaw/core/names.hpp>
#include <thaw/train/detail/optimizer_archive.hpp>

// A Learner's file is a LibTorch archive: "model" is what torch::nn::Module::save writes, "optimizer" what
// torch::optim::Optimizer::save does, with the names of its parameters. LibTorch's own load ignores extra tensors,
// reshapes others, and gives an optimizer's state to whatever parameter is in the same place; this one does not.
namespace thaw::detail {

[[nodiscard]] inline ParameterNames names_of_parameters(const torch::nn::Module& module) {
  ParameterNames names;
  for (const auto& parameter : module.named_parameters())
    names.emplace(parameter.value().unsafeGetTensorImpl(), parameter.key());
  return names;
}

inline void save_learner(const std::filesystem::path& path, const torch::nn::Module& module,
                         const torch::optim::Optimizer& optimizer) {
  AtomicFile file(path);
  try {
    torch::serialize::OutputArchive archive, model, state;
    module.save(model);
    write_optimizer(state, optimizer, names_of_parameters(module));
    archive.write("model", model);
    archive.write("optimizer", state);
    archive.save_to([&file](const void* data, std::size_t size) {
      file.write({static_cast<const char*>(data), size});
      return size;
    });
  } catch (const c10::Error& error) {
    throw FileError(path.string(), "cannot be written: " + first_line(error),
                    "use a model and an optimizer that torch::save can write");
  }
  file.commit();
}

/// The tensors of `archive` that belong to `module`, each beside its own; what does not match goes to `problems`.
inline void match_tensors(torch::serialize::InputArchive& archive, const torch::nn::Module& module,
                          const std::string& prefix, std::vector<std::pair<at::Tensor, at::Tensor>>& matched,
                          std::vector<std::string>& problems) {
  std::vector<std::string> known;
  const auto match = [&](const std::string& key, const at::Tensor& own, bool is_buffer) {
    known.push_back(key);
    at::Tensor found;
    if (!archive.try_read(key, found, is_buffer))
      problems.push_back(prefix + key + " is missing");
    else if (found.sizes() != own.sizes()) {
      std::ostringstream text;
      text << prefix << key << " is " << found.sizes() << ", the model's is " << own.sizes();
      problems.push_back(text.str());
    } else if (const std::string problem = cast_problem(own, found); !problem.empty())
      problems.push_back(prefix + key + " " + problem);
    else
      matched.emplace_back(own, found);
  };
  for (const auto& parameter : module.named_parameters(/*recurse=*/false))
    if (parameter.value().defined()) match(parameter.key(), parameter.value(), false);
  for (const auto& buffer : module.named_buffers(/*recurse=*/false))
    if (buffer.value().defined()) match(buffer.key(), buffer.value(), true);
  for (const auto& child : module.named_children()) {
    known.push_back(child.key());
    torch::serialize::InputArchive part;
    if (archive.try_read(child.key(), part))
      match_tensors(part, *child.value(), prefix + child.key() + ".", matched, problems);
    else if (!child.value()->parameters().empty() || !child.value()->buffers().empty())
      problems.push_back(prefix + child.key() + " is missing");
  }
  for (const std::string& key : archive.keys())
    if (std::ranges::find(known, key) == known.end()) problems.push_back(prefix + key + " is unexpected");
}

inline void load_learner(const std::filesystem::path& path, torch::nn::Module& module,
                         torch::optim::Optimizer& optimizer) {
  if (!std::filesystem::exists(path))
    throw FileError(path.string(), "there is no such file", "give a file that Learner::save wrote");
  torch::serialize::InputArchive archive, model, state;
  std::vector<std::pair<at::Tensor, at::Tensor>> matched;
  std::vector<std::string> problems;
  try {
    archive.load_from(path.string(), module.parameters().at(0).device());
    if (!archive.try_read("model", model) || !archive.try_read("optimizer", state))
      problems.emplace_back("it has no \"model\" and \"optimizer\"");
    else
      match_tensors(model, module, "", matched, problems);
  } catch (const c10::Error& error) {
    throw FileError(path.string(), "cannot be read: " + first_line(error),
                    "give a whole file that Learner::save wrote; for .pth or .safetensors use thaw::load_weights");
  }
  if (!problems.empty())
    throw FileError(path.string(), "does not fit the model: " + join_names(problems, problems.size()),
                    "build the model as it was when the file was written, or load it with thaw::load_weights");
  const std::string weights_alone =
      "or take the weights alone: thaw::load_weights(model, \"" + path.string() + "\", {.prefix = \"model.\"})";
  check_optimizer(state, optimizer, names_of_parameters(module), path.string(), weights_alone);
  std::vector<std::unique_ptr<torch::optim::OptimizerOptions>> options;
  for (const auto& group : optimizer.param_groups()) options.push_back(group.options().clone());
  auto kept = std::exchange(optimizer.state(), {});  // LibTorch would leave what the file has no state for
  try {
    optimizer.load(state);
  } catch (const c10::Error& error) {
    optimizer.state() = std::move(kept);
    for (std::size_t i = 0; i < options.size(); ++i) optimizer.param_groups()[i].set_options(std::move(options[i]));
    throw FileError(path.string(), "its optimizer does not fit: " + first_line(error),
                    "build the Learner with the optimizer and layer groups that it had; " + weights_alone);
  }
  const c10::NoGradGuard no_grad;
  for (auto& [own, found] : matched) own.copy_(found);
}

}  // namespace thaw::detail
