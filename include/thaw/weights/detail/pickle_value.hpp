// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <thaw/core/utf8.hpp>
#include <thaw/weights/detail/pickle_globals.hpp>
#include <variant>
#include <vector>

namespace thaw::detail {

enum class NodeId : std::uint32_t {};

/// A Python value: None, small ones as they are, texts and bytes as views of the file, the rest by its node.
/// An integer of more than 64 bits stays what it is in the file: its bytes.
using Value = std::variant<std::monostate, bool, std::int64_t, double, std::string_view, NodeId>;

/// A Python object, described but not made.
struct Node {
  enum class Kind { tuple, list, dict, global, call, persistent, object };
  Kind kind;
  const Global* global = nullptr;  ///< of a global, and of the one that a call would call
  std::vector<Value> items = {};   ///< elements; a dict's keys and values in turn; a call's argument tuple and what it
                                   ///< would call; an unknown global's module and name; an id; the attributes of a
                                   ///< TorchScript object
};

/// Names and keys longer than this are no names (and would overflow std::regex's stack).
inline constexpr std::size_t longest_name = 1024;

/// A text of a file as an error or a report shows it.
[[nodiscard]] inline std::string shown_name(std::string_view text) {
  constexpr std::size_t most = 200;
  if (!is_utf8(text)) return "?";
  return text.size() <= most ? std::string(text) : fmt::format("({} bytes)", text.size());
}

/// One unpickled object with all that it refers to. Nodes refer by number, so nothing here recurses, however deep.
struct Pickle {
  std::deque<Node> nodes;
  Value root;
  std::size_t size = 0;  ///< bytes that it takes in the file

  [[nodiscard]] const Node* node(const Value& value) const {
    const auto* id = std::get_if<NodeId>(&value);
    return id == nullptr ? nullptr : &nodes[static_cast<std::size_t>(*id)];
  }
  [[nodiscard]] const Node* node(const Value& value, Node::Kind kind) const {
    const Node* found = node(value);
    return found != nullptr && found->kind == kind ? found : nullptr;
  }

  /// The class or function in Python that a node names or would call, as "argparse.Namespace".
  [[nodiscard]] std::string global_name(const Node& named) const {
    const Node* node = &named;
    while (node->kind == Node::Kind::call) {  // ends: what is called, and with what, is older than the call
      if (node->global->role == Role::member) return member_name(*node);
      const Node* made = node->global->role == Role::maker ? global_argument(node->items[0], 0) : nullptr;
      node = made != nullptr ? made : this->node(node->items[1]);
    }
    if (node->kind == Node::Kind::persistent) {  // ("storage" or "module", class, ...)
      const Node* type = global_argument(node->items[0], 1);
      return type == nullptr ? "a Python object" : global_name(*type);
    }
    if (node->kind != Node::Kind::global) return "a Python object";
    if (!node->global->name.empty()) return std::string(node->global->name);
    return fmt::format("{}.{}", shown(node->items[0]), shown(node->items[1]));
  }

  /// An argument of a call that is a global, or nullptr.
  [[nodiscard]] const Node* global_argument(const Value& arguments, std::size_t place) const {
    const Node* tuple = node(arguments, Node::Kind::tuple);
    return tuple == nullptr || tuple->items.size() <= place ? nullptr : node(tuple->items[place], Node::Kind::global);
  }

 private:
  [[nodiscard]] static std::string shown(const Value& value) {
    const auto* text = std::get_if<std::string_view>(&value);
    return text == nullptr ? "?" : shown_name(*text);
  }
  /// "module.Outer.Inner", from getattr(Outer, "Inner").
  [[nodiscard]] std::string member_name(const Node& call) const {
    const Node *owner = global_argument(call.items[0], 0), *arguments = node(call.items[0]);
    if (owner == nullptr || arguments->items.size() < 2) return "builtins.getattr";
    return fmt::format("{}.{}", global_name(*owner), shown(arguments->items[1]));
  }
};

}  // namespace thaw::detail
