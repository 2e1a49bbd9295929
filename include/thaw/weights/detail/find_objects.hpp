// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <thaw/weights/detail/pickle_value.hpp>
#include <thaw/weights/detail/tensor_spec.hpp>
#include <thaw/weights/passed_over.hpp>
#include <utility>
#include <vector>

namespace thaw::detail {

[[nodiscard]] inline bool is_sequence(const Node& node) {
  return node.kind == Node::Kind::list || node.kind == Node::Kind::tuple;
}

/// Whether this is a torch.nn.Module, pickled with its class.
[[nodiscard]] inline bool is_module(const Node& node) {
  return node.kind == Node::Kind::call && node.global->role == Role::module;
}

/// A key of a dict as it stands in a path.
[[nodiscard]] inline std::string path_text(const Value& key) {
  if (const auto* number = std::get_if<std::int64_t>(&key)) return std::to_string(*number);
  const auto* text = std::get_if<std::string_view>(&key);
  return text == nullptr ? "?" : shown_name(*text);
}

/// What stands under keys that dots divide, or nullptr. Keys may have dots of their own.
[[nodiscard]] inline const Value* at_key(const Pickle& pickle, const Value& from, std::string_view key) {
  if (key.empty() || key == ".") return &from;
  const Node* node = pickle.node(from);
  if (node == nullptr) return nullptr;
  std::vector<std::size_t> tried;  // beginnings of `key`, by their length: a key may be there any number of times
  const auto below = [&](std::string_view name, const Value& value) -> const Value* {
    if (name == key) return &value;
    if (!key.starts_with(name) || key.size() == name.size() || key[name.size()] != '.') return nullptr;
    if (std::ranges::find(tried, name.size()) != tried.end()) return nullptr;
    tried.push_back(name.size());
    return at_key(pickle, value, key.substr(name.size() + 1));
  };
  for (std::size_t i = 0; node->kind == Node::Kind::dict && i + 1 < node->items.size(); i += 2) {
    const auto* text = std::get_if<std::string_view>(&node->items[i]);
    const auto* number = std::get_if<std::int64_t>(&node->items[i]);
    if (text == nullptr && number == nullptr) continue;
    const Value* found = below(text != nullptr ? *text : std::to_string(*number), node->items[i + 1]);
    if (found != nullptr) return found;
  }
  for (std::size_t i = 0; is_sequence(*node) && i < node->items.size(); ++i) {
    if (const Value* found = below(std::to_string(i), node->items[i])) return found;
  }
  return nullptr;
}

/// A value in words.
[[nodiscard]] inline std::string described(const Pickle& pickle, const Value& value) {
  const Node* node = pickle.node(value);
  if (node == nullptr) {
    if (std::holds_alternative<std::monostate>(value)) return "None";
    return std::holds_alternative<std::string_view>(value) ? "a text" : "a number";
  }
  switch (node->kind) {
    case Node::Kind::tuple:
      return "a tuple";
    case Node::Kind::list:
      return "a list";
    case Node::Kind::dict:
      return "a dict without tensors";
    default:
      break;
  }
  const SpecReader::Form form = SpecReader::form(pickle, node);
  if (form.kind == TensorKind::plain) return "a tensor";
  if (form.kind == TensorKind::foreign) {
    return fmt::format("a tensor of '{}', which is not read", pickle.global_name(*form.named));
  }
  return fmt::format("{}'{}', which was passed over; nothing was run",
                     is_module(*node) ? "a whole pickled module, " : "", pickle.global_name(*node));
}

/// Counts and names the objects of a pickle that are no plain tensors, wherever dicts, lists and tuples lead. Looks at
/// each once, without recursion.
[[nodiscard]] inline PassedOver passed_over(const Pickle& pickle) {
  struct Place {
    const Node* node;
    std::size_t next;  // of its items
  };
  PassedOver found;
  std::vector<bool> seen(pickle.nodes.size());
  std::vector<Place> path;
  const auto path_to_here = [&] {
    constexpr std::size_t longest = 16;
    std::string text;
    for (std::size_t i = 0; i < std::min(path.size(), longest); ++i) {
      const auto& [node, next] = path[i];
      text += i == 0 ? "" : ".";
      text += node->kind == Node::Kind::dict ? path_text(node->items[next - 2]) : std::to_string(next - 1);
    }
    return path.size() <= longest ? text : text + "...";
  };
  const auto visit = [&](const Value& value) {
    const auto* id = std::get_if<NodeId>(&value);
    if (id == nullptr) return;
    const Node& node = *pickle.node(value);
    const bool leads_on = node.kind == Node::Kind::dict || is_sequence(node);
    if (leads_on) {
      const auto place = static_cast<std::size_t>(*id);
      if (!seen[place]) path.push_back({&node, 0});
      seen[place] = true;
      return;
    }
    const SpecReader::Form form = SpecReader::form(pickle, &node);
    if (form.kind == TensorKind::plain) return;
    const bool is_named = found.count < PassedOver::most_named;
    if (!is_named) return found.add(PassedOver::Object{});
    found.add({path_to_here(), pickle.global_name(form.named != nullptr ? *form.named : node), is_module(node)});
  };
  visit(pickle.root);
  while (!path.empty()) {
    Place& here = path.back();
    if (here.next >= here.node->items.size()) {
      path.pop_back();
      continue;
    }
    here.next += here.node->kind == Node::Kind::dict ? 2 : 1;
    visit(here.node->items[here.next - 1]);
  }
  return found;
}

/// The first objects for an error: "'args' is 'argparse.Namespace', ... (7 more)".
[[nodiscard]] inline std::string quoted_text(const PassedOver& passed, std::size_t most) {
  return listed(passed, most, [](const PassedOver::Object& each) {
    return fmt::format("{}'{}'{}", each.path.empty() ? "" : fmt::format("'{}' is ", each.path), each.what,
                       each.is_module ? " (a whole module)" : "");
  });
}

}  // namespace thaw::detail
