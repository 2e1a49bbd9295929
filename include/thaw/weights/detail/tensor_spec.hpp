// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/Storage.h>
#include <c10/util/safe_numerics.h>
#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>
#include <thaw/weights/detail/pickle.hpp>
#include <thaw/weights/detail/source.hpp>
#include <utility>
#include <vector>

namespace thaw::detail {

/// The bytes that tensors share, as a pickle's persistent id names them.
struct StorageRef {
  std::string_view key;
  at::ScalarType dtype = at::ScalarType::Undefined;
  std::uint64_t bytes = 0;
  std::uint64_t view_begin = 0, view_end = 0;  ///< the bytes in use: all, unless the file says that it is a view
};

/// A tensor as a pickle describes it: nothing is checked against the storage yet.
struct TensorSpec {
  StorageRef storage;
  at::ScalarType dtype = at::ScalarType::Undefined;
  std::uint64_t offset = 0;  ///< in elements
  std::vector<std::int64_t> sizes, strides;
};

/// a * b + c in 64 bits, or an error: sizes in a hostile file overflow on purpose.
[[nodiscard]] inline std::uint64_t multiply_add(const Source& source, std::uint64_t a, std::uint64_t b,
                                                std::uint64_t c = 0) {
  std::uint64_t product = 0, sum = 0;
  if (c10::mul_overflows(a, b, &product) || c10::add_overflows(product, c, &sum) || sum > INT64_MAX) {
    throw source.damaged("a tensor is larger than any memory");
  }
  return sum;
}

enum class TensorKind {
  none,    ///< no tensor
  plain,   ///< dense: it can be read
  foreign  ///< sparse, quantised, nested, on the meta device, of a class with a layout of its own
};

/// Reads tensors and storages out of the descriptions that the Unpickler leaves.
class SpecReader {
 public:
  SpecReader(const Source& source, const Pickle& pickle) : source_(source), pickle_(pickle) {}

  /// What a call makes, seen through Parameter and through subclasses of Tensor.
  struct Form {
    TensorKind kind = TensorKind::none;
    Role role = Role::opaque;  ///< of a plain one: tensor or tensor_v3
    const std::vector<Value>* arguments = nullptr;
    const Node* named = nullptr;  ///< what tells a foreign one: its class, or the function that would make it
  };

  /// A call that is malformed counts as one of a plain tensor: reading it says what is wrong.
  [[nodiscard]] static Form form(const Pickle& pickle, const Node* node) {
    constexpr int deepest = 8;  // a parameter of a parameter of ...: PyTorch writes two
    if (node == nullptr || node->kind != Node::Kind::call) return {};
    Form form{.kind = TensorKind::plain, .role = node->global->role, .named = node};
    const Value* arguments = &node->items[0];
    for (int i = 0; i < deepest; ++i) {
      if (form.role == Role::foreign_tensor) return {.kind = TensorKind::foreign, .named = form.named};
      if (form.role < Role::tensor) return i == 0 ? Form{} : Form{.kind = TensorKind::plain};
      const Node* tuple = pickle.node(*arguments, Node::Kind::tuple);
      if (tuple == nullptr) return {.kind = TensorKind::plain};
      form.arguments = &tuple->items;
      if (form.role == Role::tensor || form.role == Role::tensor_v3) return form;
      const bool is_parameter = form.role == Role::parameter;
      if (tuple->items.size() < (is_parameter ? 1U : 3U)) return {.kind = TensorKind::plain};
      const Node* inner = pickle.node(tuple->items[0], is_parameter ? Node::Kind::call : Node::Kind::global);
      if (inner == nullptr) return {.kind = TensorKind::plain};
      if (is_parameter) {
        form.named = inner;
      } else if (const Node* type = pickle.node(tuple->items[1], Node::Kind::global)) {
        form.named = type;
      }
      form.role = inner->global->role;
      arguments = is_parameter ? &inner->items[0] : &tuple->items[2];
    }
    return {.kind = TensorKind::plain};
  }

  /// The tensor that a call of one of PyTorch's rebuilding functions makes.
  [[nodiscard]] TensorSpec tensor(const Node* call) const {
    const auto [kind, role, arguments, named] = form(pickle_, call);
    if (kind != TensorKind::plain || arguments == nullptr) throw malformed();
    TensorSpec spec{.storage = storage(pickle_.node(argument(*arguments, 0), Node::Kind::persistent)),
                    .offset = number(argument(*arguments, 1)),
                    .sizes = numbers(argument(*arguments, 2)),
                    .strides = numbers(argument(*arguments, 3))};
    const std::size_t flags = role == Role::tensor_v3 ? 7 : 6;
    spec.dtype = role == Role::tensor_v3 ? dtype(argument(*arguments, 6), Role::dtype) : spec.storage.dtype;
    if (c10::isQIntType(spec.dtype)) throw malformed();
    if (arguments->size() > flags && !std::holds_alternative<std::monostate>((*arguments)[flags])) {
      throw FileError(source_.name, "holds a tensor with the conjugate or the negative bit",
                      "save `tensor.resolve_conj().resolve_neg()` in Python");
    }
    return spec;
  }

  /// ("storage", class, key, device, elements[, (key of the view, first, elements) or None])
  [[nodiscard]] StorageRef storage(const Node* persistent) const {
    if (persistent == nullptr) throw malformed();
    const auto& id = tuple(persistent->items[0]);
    if (text(argument(id, 0)) != "storage") throw malformed();
    StorageRef ref{.key = text(argument(id, 2)), .dtype = dtype(argument(id, 1), Role::storage)};
    const std::uint64_t width = c10::elementSize(ref.dtype);
    ref.bytes = ref.view_end = multiply_add(source_, number(argument(id, 4)), width);
    if (id.size() > 5 && pickle_.node(id[5]) != nullptr) {
      const auto& view = tuple(id[5]);
      ref.view_begin = multiply_add(source_, number(argument(view, 1)), width);
      ref.view_end = multiply_add(source_, number(argument(view, 2)), width, ref.view_begin);
      if (ref.view_end > ref.bytes) throw source_.damaged("a view reaches beyond its storage");
    }
    return ref;
  }

 private:
  [[nodiscard]] const std::vector<Value>& tuple(const Value& value) const {
    const Node* node = pickle_.node(value, Node::Kind::tuple);
    if (node == nullptr) throw malformed();
    return node->items;
  }
  [[nodiscard]] const Value& argument(const std::vector<Value>& arguments, std::size_t place) const {
    if (place >= arguments.size()) throw malformed();
    return arguments[place];
  }
  [[nodiscard]] std::string_view text(const Value& value) const {
    const auto* view = std::get_if<std::string_view>(&value);
    if (view == nullptr) throw malformed();
    return *view;
  }
  [[nodiscard]] std::uint64_t number(const Value& value) const {
    const auto* signed_number = std::get_if<std::int64_t>(&value);
    if (signed_number == nullptr || *signed_number < 0) throw malformed();
    return static_cast<std::uint64_t>(*signed_number);
  }
  /// Sizes or strides: a tuple, or torch.Size of one.
  [[nodiscard]] std::vector<std::int64_t> numbers(const Value& value) const {
    constexpr std::size_t most_dimensions = 64;  // LibTorch's own bound for many operations
    const Node* call = pickle_.node(value, Node::Kind::call);
    if (call != nullptr && call->global->role != Role::size) throw malformed();
    const auto& values = call == nullptr ? tuple(value) : tuple(argument(tuple(call->items[0]), 0));
    if (values.size() > most_dimensions) throw malformed();
    std::vector<std::int64_t> all;
    all.reserve(values.size());
    for (const Value& each : values) all.push_back(static_cast<std::int64_t>(number(each)));
    return all;
  }
  [[nodiscard]] at::ScalarType dtype(const Value& value, Role role) const {
    const Node* node = pickle_.node(value, Node::Kind::global);
    if (node == nullptr) throw malformed();
    if (node->global->role == role) return node->global->dtype;
    if (node->global->role != Role::opaque) throw malformed();
    throw FileError(source_.name,
                    fmt::format("holds elements of type '{}', which thaw does not know", pickle_.global_name(*node)),
                    "convert the tensors in Python: tensor.float()");
  }
  [[nodiscard]] FileError malformed() const {
    return source_.damaged("a tensor is described in a way that PyTorch never writes");
  }

  const Source& source_;
  const Pickle& pickle_;
};

/// Throws unless every element lies inside the storage's bytes in use. Returns the first element's place in the
/// storage.
inline std::int64_t checked_offset(const Source& source, const TensorSpec& spec) {
  if (spec.sizes.size() != spec.strides.size()) throw source.damaged("a tensor has more sizes than strides, or fewer");
  const std::uint64_t width = c10::elementSize(spec.dtype);
  if (spec.storage.view_begin % width != 0) throw source.damaged("a view starts inside an element");
  std::uint64_t end = 1, count = 1;
  bool empty = false;
  for (std::size_t i = 0; i < spec.sizes.size(); ++i) {
    const auto size = static_cast<std::uint64_t>(spec.sizes[i]), stride = static_cast<std::uint64_t>(spec.strides[i]);
    empty = empty || size == 0;
    count = multiply_add(source, count, size == 0 ? 1 : size);
    if (size > 1) end = multiply_add(source, size - 1, stride, end);
  }
  (void)multiply_add(source, count, width);
  const std::uint64_t used = multiply_add(source, empty ? 0 : end, 1, spec.offset);
  if (multiply_add(source, used, width, spec.storage.view_begin) > spec.storage.view_end) {
    throw source.damaged(fmt::format("a tensor reaches beyond storage '{}'", spec.storage.key));
  }
  return static_cast<std::int64_t>(spec.offset + spec.storage.view_begin / width);
}

/// The tensor over its storage.
[[nodiscard]] inline at::Tensor make_tensor(const Source& source, const TensorSpec& spec, const c10::Storage& storage) {
  const std::int64_t offset = checked_offset(source, spec);
  return at::empty({0}, at::TensorOptions().dtype(spec.dtype)).set_(storage, offset, spec.sizes, spec.strides);
}

/// The deleter of storages that lie in a source's own bytes.
inline void forget_owner(void* owner) {
  delete static_cast<std::shared_ptr<const void>*>(owner);
}

/// A storage of these bytes of the source: of those bytes themselves where it lends them and they are aligned for any
/// element, else of a copy.
[[nodiscard]] inline c10::Storage storage_of(const Source& source, std::string_view bytes) {
  constexpr std::uintptr_t alignment = 8;
  const auto storage = [&](at::DataPtr data) {
    return c10::Storage(c10::Storage::use_byte_size_t{}, bytes.size(), std::move(data), nullptr, false);
  };
  if (source.owner && source.lends && !bytes.empty() &&
      reinterpret_cast<std::uintptr_t>(bytes.data()) % alignment == 0) {
    const auto owner = new std::shared_ptr<const void>(source.owner);
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-const-cast): a DataPtr is never const; what is lent is only read
    return storage({const_cast<char*>(bytes.data()), owner, forget_owner, at::kCPU});
  }
  at::DataPtr data = c10::GetCPUAllocator()->allocate(bytes.size());
  if (!bytes.empty()) std::memcpy(data.get(), bytes.data(), bytes.size());
  return storage(std::move(data));
}

}  // namespace thaw::detail
