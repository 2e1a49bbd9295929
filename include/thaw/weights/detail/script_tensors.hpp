// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <thaw/core/error.hpp>
#include <thaw/weights/detail/find_state_dict.hpp>
#include <thaw/weights/detail/pickle.hpp>
#include <thaw/weights/detail/source.hpp>
#include <thaw/weights/detail/tensor_spec.hpp>
#include <vector>

namespace thaw::detail {

/// Walks the modules of a TorchScript archive, whose attributes are tensors, modules, and what is left out.
class ScriptWalk {
 public:
  ScriptWalk(const Source& source, const Pickle& pickle) : source_(source), pickle_(pickle), reader_(source, pickle) {}

  void visit(const Node& module, const std::string& prefix, int depth = 0) {
    constexpr int deepest = 64;  // a hostile module may hold itself
    const Node* attributes = module.items.empty() ? nullptr : pickle_.node(module.items[0], Node::Kind::dict);
    if (depth == deepest || (attributes != nullptr && !spend(attributes->items.size()))) {
      throw source_.damaged("its modules hold each other without end");
    }
    for (std::size_t i = 0; attributes != nullptr && i + 1 < attributes->items.size(); i += 2) {
      const Node* value = pickle_.node(attributes->items[i + 1]);
      const bool is_tensor = (SpecReader::form(pickle_, value).kind == TensorKind::plain);
      if (!is_tensor && (value == nullptr || value->kind != Node::Kind::object)) continue;
      std::string name = prefix + tensor_name(source_, pickle_, attributes->items[i]);
      if (name.size() > longest_name) throw source_.damaged("a tensor's name is too long");
      text_ += name.size();
      if (text_ > most_text) throw source_.damaged("the names of its tensors take more than 64 MB");
      if (is_tensor) {
        found.emplace_back(std::move(name), reader_.tensor(value));
      } else {
        visit(*value, name + ".", depth + 1);
      }
    }
  }

  std::vector<NamedSpec> found;

 private:
  /// What is two bytes in the file, a text that it remembers, may be a name of 1 KB.
  static constexpr std::size_t most_text = 64'000'000;

  [[nodiscard]] bool spend(std::size_t steps) {
    constexpr std::size_t most = std::size_t{1} << 20;
    spent_ += steps;
    return spent_ <= most;
  }

  const Source& source_;
  const Pickle& pickle_;
  SpecReader reader_;
  std::size_t spent_ = 0, text_ = 0;
};

/// tch-rs saves each variable as an attribute of one module, with | for the dots of its name.
inline void put_dots_back(std::vector<NamedSpec>& tensors) {
  const auto has_dot = [](const NamedSpec& each) { return each.first.find('.') != std::string::npos; };
  if (std::ranges::any_of(tensors, has_dot)) return;
  for (auto& [name, spec] : tensors) std::ranges::replace(name, '|', '.');
}

/// The tensors of a TorchScript program under the names of its state dict. LibTorch's torch::save writes such files
/// too, and so does tch-rs.
[[nodiscard]] inline FoundTensors script_tensors(const Source& source, const Pickle& pickle, const std::string& key) {
  const Node* root = pickle.node(pickle.root, Node::Kind::object);
  if (root == nullptr && !candidates(pickle).empty()) return dict_tensors(source, pickle, key);  // torch::pickle_save
  if (!key.empty() && key != ".") {
    throw FileError(source.name, fmt::format("is a TorchScript archive, which has nothing under the key '{}'", key),
                    "leave the key empty, and map names with .prefix or .rename");
  }
  if (root == nullptr) throw source.damaged("its TorchScript program holds no module");
  ScriptWalk walk(source, pickle);
  walk.visit(*root, "");
  if (walk.found.empty()) {
    throw FileError(source.name,
                    "is a TorchScript program without parameters or buffers: torch.jit.freeze makes constants of them",
                    "save the module before it is frozen: torch.jit.script(model.eval()).save(path)");
  }
  put_dots_back(walk.found);
  return {.tensors = std::move(walk.found)};
}

}  // namespace thaw::detail
