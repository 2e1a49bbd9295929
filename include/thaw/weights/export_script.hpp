// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/isfinite.h>
#include <c10/core/GradMode.h>
#include <c10/util/StringUtil.h>
#include <fmt/format.h>
#include <torch/csrc/jit/api/compilation_unit.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/frontend/tracer.h>
#include <torch/csrc/jit/serialization/export.h>
#include <torch/nn/module.h>

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include <thaw/core/atomic_file.hpp>
#include <thaw/core/error.hpp>
#include <thaw/core/module_ptr.hpp>
#include <thaw/core/random_state.hpp>
#include <thaw/core/training_flags.hpp>
#include <thaw/weights/export.hpp>

namespace thaw {

namespace detail {

using ImageForward = std::function<at::Tensor(const at::Tensor&)>;

/// "__torch__.thaw.ResNet" of "thaw::models::ResNetImpl".
[[nodiscard]] inline c10::QualifiedName program_class(const torch::nn::Module& module) {
  std::string name = module.name();
  name.erase(std::min(name.find('<'), name.size()));
  if (const std::size_t colon = name.rfind(':'); colon != std::string::npos) name.erase(0, colon + 1);
  if (name.ends_with("Impl")) name.erase(name.size() - 4);
  std::ranges::replace_if(
      name, [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return c10::QualifiedName("__torch__.thaw." + (name.empty() ? "Module" : name));
}

/// A TorchScript module without methods: the same tensors under the same names, children likewise, in evaluation mode.
[[nodiscard]] inline torch::jit::Module script_of(const torch::nn::Module& module,
                                                  const std::shared_ptr<torch::jit::CompilationUnit>& unit) {
  torch::jit::Module script(program_class(module), unit, /*shouldMangle=*/true);
  script.register_attribute("training", c10::BoolType::get(), false);
  for (const auto& each : module.named_parameters(/*recurse=*/false))
    script.register_parameter(each.key(), each.value(), /*is_buffer=*/false);
  for (const auto& each : module.named_buffers(/*recurse=*/false)) script.register_buffer(each.key(), each.value());
  for (const auto& child : module.named_children())
    script.register_module(child.key(), script_of(*child.value(), unit));
  return script;
}

/// The module with `forward` as what it does to `x`.
[[nodiscard]] inline torch::jit::Module traced(const torch::nn::Module& module, const at::Tensor& x,
                                               const ImageForward& forward) {
  torch::jit::Module script = script_of(module, std::make_shared<torch::jit::CompilationUnit>());
  const auto graph =
      torch::jit::tracer::trace(
          {x}, [&](torch::jit::Stack in) { return torch::jit::Stack{forward(in.at(0).toTensor())}; },
          [](const at::Tensor&) { return std::string(); }, /*strict=*/true, /*force_outplace=*/false, &script, {"x"})
          .first->graph;
  const c10::QualifiedName name(script.type()->name().value_or(c10::QualifiedName("__torch__.Network")), "forward");
  script.type()->addMethod(script._ivalue()->compilation_unit()->create_function(name, graph));
  return script;
}

/// Throws ConfigError unless the program gives what the network gives, for other numbers of images too.
inline void check_traced(torch::jit::Module& script, const at::Tensor& x, const ImageForward& forward,
                         const std::string& where) {
  for (const std::int64_t images : {1, 3}) {
    const at::Tensor batch = at::cat({x, x.flip({3}), -x}).slice(0, 0, images), wanted = forward(batch);
    std::string problem;
    try {
      const at::Tensor given = script.forward({batch}).toTensor();
      if (given.sizes() != wanted.sizes() || !at::allclose(given, wanted, 1e-3, 1e-3, /*equal_nan=*/true))
        problem = "gives other outputs";
    } catch (const std::exception&) {  // c10::Error, or the interpreter's own
      problem = "fails";
    }
    if (!problem.empty())
      throw ConfigError(
          where, fmt::format("traced, the network {} for {} image{}", problem, images, images > 1 ? "s" : ""),
          "let its forward ask for sizes by operators on tensors, as x.expand_as(y) and x.flatten(1), and "
          "not branch on values: what is a number in C++ is a constant in the trace");
  }
}

inline void export_script(torch::nn::Module& module, const ImageForward& forward, const std::filesystem::path& path,
                          ExportInfo info) {
  const std::string where = path.string();
  check(where, info);
  const TrainingFlags modes(module);
  const RandomState random;
  const c10::NoGradGuard no_grad;
  module.eval();
  std::vector<at::Tensor> before;
  for (const at::Tensor& buffer : module.buffers()) before.push_back(buffer.clone());

  const auto parameters = module.parameters();
  at::Tensor x = probe_input(info);
  if (!parameters.empty()) x = x.to(parameters[0].options());
  torch::jit::Module script = traced(module, x, forward);
  check_traced(script, x, forward, where);
  bool moved = false;
  const auto buffers = module.buffers();
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    if (buffers[i].equal(before[i])) continue;
    buffers[i].copy_(before[i]);
    moved = true;
  }
  if (moved)
    throw ConfigError(where,
                      "the network changes its buffers in evaluation mode, and would do so wherever it is loaded",
                      "let its forward ask is_training() before it moves statistics");

  const at::Tensor logits = forward(x).to(at::kCPU, at::kDouble).contiguous();
  if (logits.dim() != 2 || logits.size(1) != std::ssize(info.classes))
    throw ConfigError(where,
                      fmt::format("the network gives {} for an image, and the export has {} classes",
                                  c10::str(logits.sizes()), info.classes.size()),
                      "name the classes of its outputs, in their order");
  if (at::isfinite(logits).all().item().toBool())
    info.probe = {logits.const_data_ptr<double>(), logits.const_data_ptr<double>() + logits.numel()};
  const torch::jit::ExtraFilesMap extra{{"thaw.json", export_text(info, where)}};
  AtomicFile file(path);
  torch::jit::ExportModule(
      script,
      [&](const void* bytes, std::size_t size) {
        file.write({static_cast<const char*>(bytes), size});
        return size;
      },
      extra);
  file.commit();
}

}  // namespace detail

/// Writes a network for inference as a TorchScript program: one file that Python's and LibTorch's torch.jit.load open
/// without the network's code. As an extra file, thaw.json, it has what `info` says; its tensors have the names of the
/// state dict, so that load_weights reads them.
///
/// The program is a trace of `model->forward` in evaluation mode: norm layers hold their statistics, dropout is off, in
/// Python's train() too. It takes any number of images of `info.image_size`, on the device that the model is on, and
/// gives the same bits as the model does. The model is left as it was. Throws ConfigError where the trace does not give
/// what the model gives (tried on one image and on three), where the model moves its statistics in evaluation mode, and
/// for info that no reader could work with; FileError if the file cannot be written.
/// Example: `thaw::export_script(model, "net.ts", info);`, in Python `net = torch.jit.load("net.ts")`
template <class Model>
void export_script(Model model, const std::filesystem::path& path, const ExportInfo& info) {
  static_assert(
      requires(const at::Tensor& x) { at::Tensor(model->forward(x)); },
      "thaw: to be traced, a model needs a `forward` that takes one at::Tensor and returns one");
  detail::export_script(
      *detail::module_ptr(model), [&](const at::Tensor& x) { return at::Tensor(model->forward(x)); }, path, info);
}

}  // namespace thaw
