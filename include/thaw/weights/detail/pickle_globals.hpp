#pragma once

#include <c10/core/ScalarType.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

namespace thaw::detail {

/// What a Python global that a pickle names is good for here. None is ever run.
enum class Role {
  opaque,        ///< harmless, found beside the tensors, not looked into
  ordered_dict,  ///< a dict
  object,        ///< a TorchScript class, whose objects are their attributes
  storage,       ///< the element type of a storage
  dtype,
  tensor,     ///< (storage, offset, sizes, strides, ...)
  tensor_v3,  ///< the same, with the dtype as seventh argument
  parameter,  ///< (tensor, ...)
  subclass,   ///< (function, class, arguments of the function, state)
};

struct Global {
  std::string_view name;
  Role role = Role::opaque;
  at::ScalarType dtype = at::ScalarType::Undefined;
};

/// Everything that a state dict and its usual company need: the part of `torch.load(weights_only=True)`'s allow-list
/// that describes dense tensors.
inline constexpr std::array pickle_globals = {
    Global{"collections.OrderedDict", Role::ordered_dict},
    Global{"torch._utils._rebuild_tensor", Role::tensor},
    Global{"torch._utils._rebuild_tensor_v2", Role::tensor},
    Global{"torch._utils._rebuild_tensor_v3", Role::tensor_v3},
    Global{"torch._utils._rebuild_parameter", Role::parameter},
    Global{"torch._utils._rebuild_parameter_with_state", Role::parameter},
    Global{"torch.nn.parameter.Parameter", Role::parameter},
    Global{"torch._tensor._rebuild_from_type_v2", Role::subclass},
    Global{"torch.FloatStorage", Role::storage, at::kFloat},
    Global{"torch.DoubleStorage", Role::storage, at::kDouble},
    Global{"torch.HalfStorage", Role::storage, at::kHalf},
    Global{"torch.BFloat16Storage", Role::storage, at::kBFloat16},
    Global{"torch.LongStorage", Role::storage, at::kLong},
    Global{"torch.IntStorage", Role::storage, at::kInt},
    Global{"torch.ShortStorage", Role::storage, at::kShort},
    Global{"torch.CharStorage", Role::storage, at::kChar},
    Global{"torch.ByteStorage", Role::storage, at::kByte},
    Global{"torch.BoolStorage", Role::storage, at::kBool},
    Global{"torch.ComplexFloatStorage", Role::storage, at::kComplexFloat},
    Global{"torch.ComplexDoubleStorage", Role::storage, at::kComplexDouble},
    Global{"torch.storage.UntypedStorage", Role::storage, at::kByte},
    Global{"torch.storage._UntypedStorage", Role::storage, at::kByte},
    Global{"torch.float64", Role::dtype, at::kDouble},
    Global{"torch.float32", Role::dtype, at::kFloat},
    Global{"torch.float16", Role::dtype, at::kHalf},
    Global{"torch.bfloat16", Role::dtype, at::kBFloat16},
    Global{"torch.float8_e4m3fn", Role::dtype, at::kFloat8_e4m3fn},
    Global{"torch.float8_e4m3fnuz", Role::dtype, at::kFloat8_e4m3fnuz},
    Global{"torch.float8_e5m2", Role::dtype, at::kFloat8_e5m2},
    Global{"torch.float8_e5m2fnuz", Role::dtype, at::kFloat8_e5m2fnuz},
    Global{"torch.int64", Role::dtype, at::kLong},
    Global{"torch.int32", Role::dtype, at::kInt},
    Global{"torch.int16", Role::dtype, at::kShort},
    Global{"torch.int8", Role::dtype, at::kChar},
    Global{"torch.uint64", Role::dtype, at::kUInt64},
    Global{"torch.uint32", Role::dtype, at::kUInt32},
    Global{"torch.uint16", Role::dtype, at::kUInt16},
    Global{"torch.uint8", Role::dtype, at::kByte},
    Global{"torch.bool", Role::dtype, at::kBool},
    Global{"torch.complex32", Role::dtype, at::kComplexHalf},
    Global{"torch.complex64", Role::dtype, at::kComplexFloat},
    Global{"torch.complex128", Role::dtype, at::kComplexDouble},
    Global{"torch.Size"},
    Global{"torch.device"},
    Global{"torch.Tensor"},
    Global{"collections.Counter"},
    Global{"_codecs.encode"},
    Global{"builtins.set"},
    Global{"builtins.bytearray"},
    Global{"builtins.complex"},
    Global{"torch.jit._pickle.build_intlist"},
    Global{"torch.jit._pickle.build_doublelist"},
    Global{"torch.jit._pickle.build_boollist"},
    Global{"torch.jit._pickle.build_tensorlist"},
    Global{"torch.jit._pickle.restore_type_tag"},
};

/// Any class of a TorchScript program.
inline constexpr Global script_class{"__torch__", Role::object};

/// The global of that name, or nullptr if no state dict needs it.
[[nodiscard]] inline const Global* find_global(std::string_view module, std::string_view name) {
  if (module == "__builtin__") module = "builtins";  // Python 2
  if (module == "torch.cuda" && name.ends_with("Storage")) module = "torch";
  if (module == "__torch__" || module.starts_with("__torch__.")) return &script_class;
  const auto full = std::string(module).append(".").append(name);
  const auto found = std::ranges::find(pickle_globals, full, &Global::name);
  return found == pickle_globals.end() ? nullptr : &*found;
}

}  // namespace thaw::detail
