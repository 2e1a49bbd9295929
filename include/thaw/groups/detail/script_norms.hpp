// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/ir/ir.h>
#include <torch/csrc/jit/passes/inliner.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

namespace thaw::detail {

/// "stem.1.running_mean" for a value that is read from the module through its attributes; else empty.
[[nodiscard]] inline std::string attribute_path(const torch::jit::Value* value) {
  std::string path;
  for (const torch::jit::Node* node = value->node(); node->kind() == torch::jit::prim::GetAttr;
       node = node->input()->node())
    path.insert(0, node->s(torch::jit::attr::name) + (path.empty() ? "" : "."));
  return path;
}

/// Whether the node is a norm layer whose mode is a constant, this one: in training mode it normalises by the
/// statistics of its input and moves running ones, in any mode of the module; else never.
[[nodiscard]] inline bool is_stuck(const torch::jit::Node& node, bool in_training) {
  const std::string kind = node.kind().toQualString();
  const bool instance = kind == "aten::instance_norm";
  if (!instance && kind != "aten::batch_norm" && kind != "aten::native_batch_norm") return false;
  const auto training = torch::jit::toIValue(node.namedInput(instance ? "use_input_stats" : "training"));
  return training && training->isBool() && training->toBool() == in_training;
}

inline void find_stuck_norms(at::ArrayRef<const torch::jit::Block*> blocks, bool in_training,
                             std::vector<std::string>& names) {
  for (const torch::jit::Block* block : blocks)
    for (const torch::jit::Node* node : block->nodes()) {
      const std::string condition = node->kind() == torch::jit::prim::If ? attribute_path(node->input()) : "";
      if (condition == "training" || condition.ends_with(".training")) continue;  // the author asks for the mode
      find_stuck_norms(node->blocks(), in_training, names);
      if (!is_stuck(*node, in_training)) continue;
      const std::string statistics = attribute_path(node->namedInput("running_mean"));
      if (statistics.empty()) continue;
      const std::string layer = statistics.substr(0, std::min(statistics.rfind('.'), statistics.size()));
      if (std::ranges::find(names, layer) == names.end()) names.push_back(layer);
    }
}

/// The norm layers that `forward` runs with a constant `training`, by dotted name, in the order of their use.
[[nodiscard]] inline std::vector<std::string> stuck_norms(const torch::jit::Module& script, bool in_training) {
  const std::shared_ptr<torch::jit::Graph> graph = script.get_method("forward").graph()->copy();
  torch::jit::Inline(*graph);
  std::vector<std::string> names;
  const torch::jit::Block* const block = graph->block();
  find_stuck_norms(block, in_training, names);
  return names;
}

}  // namespace thaw::detail
