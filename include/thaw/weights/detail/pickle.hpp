#pragma once

#include <fmt/format.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <thaw/weights/detail/pickle_globals.hpp>
#include <thaw/weights/detail/source.hpp>
#include <unordered_map>
#include <utility>
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
  std::vector<Value> items = {};   ///< elements; a dict's keys and values in turn; a call's argument tuple; an id;
                                   ///< the attributes of a TorchScript object
};

/// One unpickled object with all that it refers to. Nodes refer by number, so nothing here recurses, however deep.
struct Pickle {
  std::vector<Node> nodes;
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
};

/// Reads one pickle, protocols 2 to 5, without running anything: calls are recorded, and may only name
/// `pickle_globals`.
class Unpickler {
 public:
  Unpickler(const Source& source, std::string_view bytes) : source_(source), bytes_(bytes) {}

  [[nodiscard]] Pickle read() {
    for (;;) {
      spend(1);
      const auto op = static_cast<unsigned char>(take(1)[0]);
      if (op == '.') break;
      if (!constant(op) && !number(op) && !text(op) && !memo(op) && !container(op) && !object(op)) {
        throw damaged(fmt::format("unknown instruction 0x{:02x}", op));
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
      case ')': push_node({Kind::tuple}); return true;
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
      case 'J': push(std::int64_t{std::bit_cast<std::int32_t>(raw<std::uint32_t>())}); return true;
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
      case 'q': memo_[raw<std::uint8_t>()] = top(); return true;
      case 'r': memo_[raw<std::uint32_t>()] = top(); return true;
      case 0x94: memo_[memo_.size()] = top(); return true;
      case 'h': push(remembered(raw<std::uint8_t>())); return true;
      case 'j': push(remembered(raw<std::uint32_t>())); return true;
      default: return false;
    }
  }

  bool container(unsigned char op) {
    switch (op) {
      case '(': marks_.push_back(stack_.size()); return true;
      case 't': push_node({Kind::tuple, nullptr, pop_to_mark()}); return true;
      case 'l': push_node({Kind::list, nullptr, pop_to_mark()}); return true;
      case 'd': push_node({Kind::dict, nullptr, pairs(pop_to_mark())}); return true;
      case 0x85: push_node({Kind::tuple, nullptr, pop(1)}); return true;
      case 0x86: push_node({Kind::tuple, nullptr, pop(2)}); return true;
      case 0x87: push_node({Kind::tuple, nullptr, pop(3)}); return true;
      case 'a': append(Kind::list, pop(1)); return true;
      case 's': append(Kind::dict, pop(2)); return true;
      case 'e':
      case 0x90: append(Kind::list, pop_to_mark()); return true;
      case 'u': append(Kind::dict, pairs(pop_to_mark())); return true;
      default: return false;
    }
  }

  bool object(unsigned char op) {
    switch (op) {
      case 0x80: check_protocol(raw<std::uint8_t>()); return true;
      case 0x95: take(sizeof(std::uint64_t)); return true;  // a frame's length
      case 'c': {
        const std::string_view module = line();
        push_global(module, line());
        return true;
      }
      case 0x93: {
        const Value name = pop(), module = pop();
        push_global(as_text(module), as_text(name));
        return true;
      }
      case 'R':
      case 0x81: call(); return true;
      case 'b': build(); return true;
      case 'Q': push_node({Kind::persistent, nullptr, pop(1)}); return true;
      case '0': (void)pop(); return true;
      default: return false;
    }
  }
  // clang-format on

  /// A call of an allowed global stays a description of it; only OrderedDict becomes a dict at once, to take items.
  void call() {
    const Value arguments = pop(), callee = pop();
    const Node* global = pickle_.node(callee, Kind::global);
    if (global == nullptr || pickle_.node(arguments, Kind::tuple) == nullptr) throw damaged("a call of no function");
    if (global->global->role == Role::object) {
      push_node({Kind::object, global->global});
    } else if (global->global->role == Role::ordered_dict) {
      push_node({Kind::dict, nullptr, ordered_items(*pickle_.node(arguments))});
    } else {
      push_node({Kind::call, global->global, {arguments}});
    }
  }

  /// OrderedDict() or, from Python 2, OrderedDict([[key, value], ...]).
  std::vector<Value> ordered_items(const Node& arguments) {
    std::vector<Value> items;
    if (arguments.items.empty()) return items;
    const Node* pairs_list = pickle_.node(arguments.items[0], Kind::list);
    if (pairs_list == nullptr) throw damaged("an OrderedDict of something else than pairs");
    spend(2 * pairs_list->items.size());
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
    const auto* id = std::get_if<NodeId>(&top());
    Node* target = id == nullptr ? nullptr : &pickle_.nodes[static_cast<std::size_t>(*id)];
    if (target != nullptr && target->kind == Kind::object) {
      target->items = {attributes};
    } else if (target == nullptr || (target->kind != Kind::dict && target->kind != Kind::call)) {
      throw damaged("attributes of something that has none");
    }
  }

  void push_global(std::string_view module, std::string_view name) {
    const Global* global = find_global(module, name);
    if (global == nullptr) {
      throw FileError(source_.name,
                      fmt::format("holds the Python object '{}.{}', which is no part of a state dict; nothing was run",
                                  module, name),
                      "save the tensors alone in Python: torch.save(model.state_dict(), path)");
    }
    push_node({Kind::global, global});
  }

  void append(Kind kind, std::vector<Value> items) {
    const auto* id = std::get_if<NodeId>(&top());
    Node* target = id == nullptr ? nullptr : &pickle_.nodes[static_cast<std::size_t>(*id)];
    if (target == nullptr || target->kind != kind) throw damaged("items for something that holds none");
    target->items.insert(target->items.end(), items.begin(), items.end());
  }

  std::vector<Value> pairs(std::vector<Value> items) const {
    if (items.size() % 2 != 0) throw damaged("a key without a value");
    return items;
  }

  // The stack. What lies below the last mark is out of reach.
  void push(Value value) { stack_.push_back(value); }
  void push_node(Node node) {
    pickle_.nodes.push_back(std::move(node));
    push(NodeId{static_cast<std::uint32_t>(pickle_.nodes.size() - 1)});
  }
  Value& top() {
    if (stack_.size() <= floor()) throw damaged("it takes more than there is");
    return stack_.back();
  }
  Value pop() {
    const Value value = top();
    stack_.pop_back();
    return value;
  }
  std::vector<Value> pop(std::size_t count) {
    if (stack_.size() < floor() + count) throw damaged("it takes more than there is");
    const auto first = stack_.end() - static_cast<std::ptrdiff_t>(count);
    std::vector<Value> items(first, stack_.end());
    stack_.erase(first, stack_.end());
    return items;
  }
  std::vector<Value> pop_to_mark() {
    if (marks_.empty()) throw damaged("no mark");
    auto items = pop(stack_.size() - marks_.back());
    marks_.pop_back();
    return items;
  }
  [[nodiscard]] std::size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  [[nodiscard]] const Value& remembered(std::uint64_t place) const {
    const auto found = memo_.find(place);
    if (found == memo_.end()) throw damaged(fmt::format("nothing remembered as {}", place));
    return found->second;
  }

  // The bytes.
  std::string_view take(std::uint64_t count) {
    if (count > bytes_.size() - at_) throw damaged("it ends too early");
    const auto taken = bytes_.substr(at_, static_cast<std::size_t>(count));
    at_ += taken.size();
    return taken;
  }
  std::string_view line() {
    const auto end = bytes_.find('\n', at_);
    if (end == std::string_view::npos) throw damaged("it ends too early");
    const auto text = take(end - at_);
    take(1);
    return text;
  }
  template <std::unsigned_integral Number>
  Number raw() {
    return little_endian<Number>(take(sizeof(Number)));
  }
  template <std::unsigned_integral Number>
  std::int64_t unsigned_number() {
    return std::int64_t{raw<Number>()};
  }
  double big_endian_double() {
    std::uint64_t bits = 0;
    for (const char byte : take(sizeof bits)) bits = bits << 8 | static_cast<unsigned char>(byte);
    return std::bit_cast<double>(bits);
  }
  /// A two's complement number, least byte first.
  static Value integer(std::string_view bytes) {
    if (bytes.size() > sizeof(std::uint64_t)) return bytes;
    const bool negative = !bytes.empty() && (static_cast<unsigned char>(bytes.back()) & 0x80) != 0;
    std::uint64_t bits = negative ? ~std::uint64_t{0} : 0;
    for (std::size_t i = bytes.size(); i-- > 0;) bits = bits << 8 | static_cast<unsigned char>(bytes[i]);
    return std::bit_cast<std::int64_t>(bits);
  }
  std::string_view as_text(const Value& value) const {
    const auto* text = std::get_if<std::string_view>(&value);
    if (text == nullptr) throw damaged("a name that is no text");
    return *text;
  }
  void check_protocol(unsigned protocol) const {
    if (protocol < 2 || protocol > 5) throw damaged(fmt::format("pickle protocol {}", protocol));
  }

  /// Bounds time and memory: real files need some fifty steps for a tensor.
  void spend(std::size_t steps) {
    constexpr std::size_t most = std::size_t{1} << 22;
    if (steps > most - spent_) throw damaged(fmt::format("more than {} pickle instructions", most));
    spent_ += steps;
  }
  [[nodiscard]] FileError damaged(std::string_view how) const {
    return source_.damaged(fmt::format("its pickle is malformed at byte {}: {}", at_, how));
  }

  const Source& source_;
  std::string_view bytes_;
  std::size_t at_ = 0, spent_ = 0;
  std::vector<Value> stack_;
  std::vector<std::size_t> marks_;
  std::unordered_map<std::uint64_t, Value> memo_;
  Pickle pickle_;
};

}  // namespace thaw::detail
