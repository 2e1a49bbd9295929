// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <thaw/weights/detail/pickle_globals.hpp>
#include <thaw/weights/detail/pickle_stack.hpp>
#include <thaw/weights/detail/pickle_value.hpp>
#include <thaw/weights/detail/source.hpp>
#include <utility>
#include <variant>
#include <vector>

namespace thaw::detail {

/// Reads one pickle, protocols 2 to 5, without running anything: what it would call is recorded, whatever it is. Of all
/// its objects, those alone are understood that describe tensors, and the dicts, lists and tuples around them.
class Unpickler : private PickleStack {
 public:
  Unpickler(const Source& source, std::string_view bytes) : PickleStack(source, bytes) {}

  [[nodiscard]] Pickle read() {
    for (;;) {
      const auto op = static_cast<unsigned char>(take(1)[0]);
      if (op == '.') break;
      if (!constant(op) && !number(op) && !text(op) && !memo(op) && !container(op) && !object(op)) {
        const std::string_view why = refusal(op);
        throw damaged(why.empty() ? fmt::format("unknown instruction 0x{:02x}", op) : std::string(why));
      }
    }
    pickle_.root = pop();
    pickle_.size = at_;
    return std::move(pickle_);
  }

 private:
  using Kind = Node::Kind;

  // One instruction a line; each function knows its own and says whether `op` was one of them.
  // clang-format off
  bool constant(unsigned char op) {
    switch (op) {
      case 'N': push({}); return true;
      case 0x88: push(true); return true;
      case 0x89: push(false); return true;
      case ')': push_empty_tuple(); return true;
      case ']':
      case 0x8f: push_node({Kind::list}); return true;  // a set is read as a list
      case '}': push_node({Kind::dict}); return true;
      default: return false;
    }
  }

  bool number(unsigned char op) {
    switch (op) {
      case 'K': push(unsigned_number<std::uint8_t>()); return true;
      case 'M': push(unsigned_number<std::uint16_t>()); return true;
      case 'J': push(std::int64_t{static_cast<std::int32_t>(raw<std::uint32_t>())}); return true;
      case 'G': push(big_endian_double()); return true;
      case 0x8a: push(integer(take(raw<std::uint8_t>()))); return true;
      case 0x8b: push(integer(take(raw<std::uint32_t>()))); return true;
      default: return false;
    }
  }

  bool text(unsigned char op) {
    switch (op) {
      case 'U':
      case 'C':
      case 0x8c: push(take(raw<std::uint8_t>())); return true;
      case 'T':
      case 'B':
      case 'X': push(take(raw<std::uint32_t>())); return true;
      case 0x8d:
      case 0x8e:
      case 0x96: push(take(raw<std::uint64_t>())); return true;
      default: return false;
    }
  }

  bool memo(unsigned char op) {
    switch (op) {
      case 'q': remember(raw<std::uint8_t>()); return true;
      case 'r': remember(raw<std::uint32_t>()); return true;
      case 0x94: remember(remembered_); return true;
      case 'h': push(remembered(raw<std::uint8_t>())); return true;
      case 'j': push(remembered(raw<std::uint32_t>())); return true;
      default: return false;
    }
  }

  bool container(unsigned char op) {
    switch (op) {
      case '(': mark(); return true;
      case 't': push_node({Kind::tuple, nullptr, pop_to_mark()}); return true;
      case 0x91:  // a frozenset
      case 'l': push_node({Kind::list, nullptr, pop_to_mark()}); return true;
      case 'd': push_node({Kind::dict, nullptr, pairs(pop_to_mark())}); return true;
      case 0x85: push_node({Kind::tuple, nullptr, pop(1)}); return true;
      case 0x86: push_node({Kind::tuple, nullptr, pop(2)}); return true;
      case 0x87: push_node({Kind::tuple, nullptr, pop(3)}); return true;
      case 'a': append(Kind::list, last(1)); return true;
      case 's': append(Kind::dict, last(2)); return true;
      case 'e':
      case 0x90: append(Kind::list, take_mark()); return true;
      case 'u': append(Kind::dict, take_mark()); return true;
      default: return false;
    }
  }

  bool object(unsigned char op) {
    switch (op) {
      case 0x80: check_protocol(raw<std::uint8_t>()); return true;
      case 0x95: take(sizeof(std::uint64_t)); return true;  // a frame's length
      case 'c': push(named_global()); return true;
      case 0x93: {
        const Value name = pop(), module = pop();
        push(add_global(as_text(module), as_text(name)));
        return true;
      }
      case 'i': {  // a class by its name, and arguments down to the mark
        const NodeId type = named_global();
        call(type, add({Kind::tuple, nullptr, pop_to_mark()}));
        return true;
      }
      case 'o': {
        std::vector<Value> arguments = pop_to_mark();
        if (arguments.empty()) throw damaged("a call of no function");
        const Value type = arguments.front();
        arguments.erase(arguments.begin());
        call(type, add({Kind::tuple, nullptr, std::move(arguments)}));
        return true;
      }
      case 0x92: (void)pop(); [[fallthrough]];  // named arguments
      case 'R':
      case 0x81: {
        const Value arguments = pop();
        call(pop(), arguments);
        return true;
      }
      case 'b': build(); return true;
      case 'Q': push_node({Kind::persistent, nullptr, pop(1)}); return true;
      case '0': (void)pop(); return true;
      case '1': (void)pop_to_mark(); return true;
      case '2': push(Value(top())); return true;
      default: return false;
    }
  }

  // clang-format on

  /// Why a known instruction is not followed; empty for all others.
  static std::string_view refusal(unsigned char op) {
    constexpr std::string_view of_protocol_0 = "PILFSVpg";
    if (op >= 0x82 && op <= 0x84) return "a number from Python's extension registry (EXT) in place of a class";
    if (op == 0x97 || op == 0x98) return "a buffer that lies outside of the file";
    if (of_protocol_0.find(static_cast<char>(op)) == std::string_view::npos) return {};
    return "an instruction of pickle protocol 0; save with protocol 2 or above";
  }

  /// A call stays a description of itself. Dicts are dicts at once, to take items.
  void call(const Value& callee, const Value& arguments) {
    const Node *called = pickle_.node(callee), *tuple = pickle_.node(arguments, Kind::tuple);
    const bool is_callable = called != nullptr && (called->kind == Kind::global || called->kind == Kind::call ||
                                                   called->kind == Kind::persistent);
    if (!is_callable || tuple == nullptr) throw damaged("a call of no function");
    const Global* global = called->kind == Kind::global ? called->global : &unknown_global;
    switch (global->role) {
      case Role::object:
        return push_node({Kind::object, global});
      case Role::ordered_dict:
        return push_node({Kind::dict, nullptr, ordered_items(*tuple)});
      case Role::default_dict:
        return push_node({Kind::dict});
      case Role::typed:
        if (tuple->items.empty()) throw damaged("a type of nothing");
        return push(tuple->items[0]);
      default:
        push_node({Kind::call, global, {arguments, callee}});
    }
  }

  /// OrderedDict() or, from Python 2, OrderedDict([[key, value], ...]).
  std::vector<Value> ordered_items(const Node& arguments) {
    std::vector<Value> items;
    if (arguments.items.empty()) return items;
    const Node* pairs_list = pickle_.node(arguments.items[0], Kind::list);
    if (pairs_list == nullptr) throw damaged("an OrderedDict of something else than pairs");
    spend(2 * pairs_list->items.size() * sizeof(Value));
    for (const Value& item : pairs_list->items) {
      const Node* pair = pickle_.node(item);
      if (pair == nullptr || pair->items.size() != 2) throw damaged("an OrderedDict of something else than pairs");
      items.insert(items.end(), pair->items.begin(), pair->items.end());
    }
    return items;
  }

  /// Attributes are of use in TorchScript alone; others, such as a state dict's `_metadata`, are not.
  void build() {
    const Value attributes = pop();
    Node* target = top_node();
    if (target != nullptr && target->kind == Kind::object) {
      target->items = {attributes};
    } else if (target != nullptr && target->kind == Kind::call && target->global == &unknown_global) {
      if (is_of_module(pickle_.node(attributes, Kind::dict))) target->global = &module_global;
    } else if (target == nullptr || (target->kind != Kind::dict && target->kind != Kind::call)) {
      throw damaged("attributes of something that has none");
    }
  }

  /// Whether these are the attributes of a torch.nn.Module: they begin with "training" and "_parameters".
  static bool is_of_module(const Node* attributes) {
    constexpr std::size_t looked_at = 16;
    if (attributes == nullptr) return false;
    const std::size_t end = std::min(looked_at, attributes->items.size());
    for (std::size_t i = 0; i < end; i += 2) {
      if (attributes->items[i] == Value(std::string_view("_parameters"))) return true;
    }
    return false;
  }

  NodeId named_global() {
    const std::string_view module = line();
    return add_global(module, line());
  }

  NodeId add_global(std::string_view module, std::string_view name) {
    const Global* global = find_global(module, name);
    if (global->role == Role::harmful) {
      throw FileError(source_.name,
                      fmt::format("holds the Python object '{}.{}', which is no part of a state dict; nothing was run",
                                  module, shown_name(name)),
                      "do not load it in Python, which would run that; fetch the file from a source that you trust");
    }
    if (!global->name.empty()) return add({Kind::global, global});
    return add({Kind::global, global, {module, name}});
  }

  /// Gives what lies on the stack from `begin` to the object below it. What an opaque object is given, as a list or a
  /// dict of a class of its own, is left out with it.
  void append(Kind kind, std::size_t begin) {
    if (begin <= floor()) throw damaged("it takes more than there is");
    const auto first = stack_.begin() + static_cast<std::ptrdiff_t>(begin);
    const auto* id = std::get_if<NodeId>(&stack_[begin - 1]);
    Node* target = id == nullptr ? nullptr : &pickle_.nodes[static_cast<std::size_t>(*id)];
    if (target == nullptr || (target->kind != kind && target->kind != Kind::call)) {
      throw damaged("items for something that holds none");
    }
    if (target->kind == kind) {
      if (kind == Kind::dict && (stack_.size() - begin) % 2 != 0) throw damaged("a key without a value");
      spend((stack_.size() - begin) * sizeof(Value));
      target->items.insert(target->items.end(), first, stack_.end());
    }
    stack_.erase(first, stack_.end());
  }

  [[nodiscard]] std::vector<Value> pairs(std::vector<Value> items) const {
    if (items.size() % 2 != 0) throw damaged("a key without a value");
    return items;
  }

  void push_node(Node node) { push(add(std::move(node))); }
  NodeId add(Node node) {
    spend(sizeof(Node) + sizeof(Value) + node.items.size() * sizeof(Value));
    pickle_.nodes.push_back(std::move(node));
    return NodeId{static_cast<std::uint32_t>(pickle_.nodes.size() - 1)};
  }
  /// There is one, as in Python: it stays empty.
  void push_empty_tuple() {
    if (empty_tuple_ == none) empty_tuple_ = add({Kind::tuple});
    push(empty_tuple_);
  }
  /// The object that the next instruction fills, or nullptr if what is there is no object.
  Node* top_node() {
    const auto* id = std::get_if<NodeId>(&top());
    return id == nullptr ? nullptr : &pickle_.nodes[static_cast<std::size_t>(*id)];
  }
  /// Picklers count from 0 or 1, so that no number is greater than the instructions before it.
  void remember(std::size_t place) {
    if (place > at_) throw damaged(fmt::format("something remembered as {}", place));
    const Value value = top();
    if (place >= memo_.size()) {
      spend((place + 1 - memo_.size()) * sizeof(Value));
      memo_.resize(place + 1, none);
    }
    remembered_ += memo_[place] == Value(none) ? 1 : 0;
    memo_[place] = value;
  }
  [[nodiscard]] const Value& remembered(std::uint64_t place) const {
    if (place >= memo_.size() || memo_[place] == Value(none)) {
      throw damaged(fmt::format("nothing remembered as {}", place));
    }
    return memo_[place];
  }

  [[nodiscard]] std::string_view as_text(const Value& value) const {
    const auto* text = std::get_if<std::string_view>(&value);
    if (text == nullptr) throw damaged("a name that is no text");
    return *text;
  }
  void check_protocol(unsigned protocol) const {
    if (protocol < 2 || protocol > 5) throw damaged(fmt::format("pickle protocol {}", protocol));
  }

  static constexpr NodeId none{UINT32_MAX};
  std::size_t remembered_ = 0;
  std::deque<Value> memo_;  // grows without being copied
  NodeId empty_tuple_ = none;
  Pickle pickle_;
};

}  // namespace thaw::detail
