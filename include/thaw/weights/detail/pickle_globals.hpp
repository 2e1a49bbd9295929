// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <c10/core/ScalarType.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <string_view>

namespace thaw::detail {

/// What a Python global that a pickle names is good for here. None is ever run.
enum class Role {
  opaque,          ///< passed over with all that is in it
  harmful,         ///< no part of any checkpoint: the file is made to attack whoever unpickles it
  maker,           ///< opaque, a helper of Python's whose first argument is the class
  member,          ///< opaque, (class, name)
  module,          ///< opaque, a torch.nn.Module
  foreign_tensor,  ///< makes a tensor that is not read: sparse, quantised, nested, on the meta device
  size,            ///< a tuple of sizes
  typed,           ///< (object, TorchScript's name of its type)
  ordered_dict,    ///< a dict
  default_dict,    ///< a dict, empty at first whatever the arguments
  object,          ///< a TorchScript class, whose objects are their attributes
  storage,         ///< the element type of a storage
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

/// What describes dense tensors, and what is passed over in a way of its own.
inline constexpr std::array pickle_globals = {
    Global{"collections.OrderedDict", Role::ordered_dict},
    Global{"torch._utils._rebuild_tensor", Role::tensor},
    Global{"torch._utils._rebuild_tensor_v2", Role::tensor},
    Global{"torch._utils._rebuild_tensor_v3", Role::tensor_v3},
    Global{"torch._utils._rebuild_parameter", Role::parameter},
    Global{"torch._utils._rebuild_parameter_with_state", Role::parameter},
    Global{"torch.nn.parameter.Parameter", Role::parameter},
    Global{"torch._tensor._rebuild_from_type_v2", Role::subclass},
    Global{"torch._tensor._rebuild_from_type", Role::subclass},
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
    Global{"torch.QInt8Storage", Role::storage, at::kQInt8},
    Global{"torch.QUInt8Storage", Role::storage, at::kQUInt8},
    Global{"torch.QInt32Storage", Role::storage, at::kQInt32},
    Global{"collections.defaultdict", Role::default_dict},
    Global{"torch.jit._pickle.restore_type_tag", Role::typed},
    Global{"torch.Size", Role::size},
    Global{"copyreg._reconstructor", Role::maker},
    Global{"copy_reg._reconstructor", Role::maker},  // Python 2
    Global{"copyreg.__newobj__", Role::maker},
    Global{"copyreg.__newobj_ex__", Role::maker},
    Global{"builtins.getattr", Role::member},
};

/// Any class of a TorchScript program.
inline constexpr Global script_class{"__torch__", Role::object};

/// Any other of Python's classes and functions.
inline constexpr Global unknown_global{""};
inline constexpr Global module_global{"", Role::module};
inline constexpr Global foreign_tensor_global{"", Role::foreign_tensor};
inline constexpr Global harmful_global{"", Role::harmful};

/// Whether a pickle names this to have code run: nothing that people keep in a checkpoint is made by it. No list of
/// such names is complete, and nothing rests on it: no global is ever run. It tells a file that attacks Python by its
/// name.
[[nodiscard]] inline bool is_harmful(std::string_view module, std::string_view name) {
  constexpr std::array<std::string_view, 5> modules = {"subprocess", "pty", "runpy", "webbrowser", "popen2"};
  constexpr std::array<std::string_view, 9> builtins = {"eval",  "exec",  "execfile", "compile",   "__import__",
                                                        "input", "apply", "open",     "breakpoint"};
  constexpr std::array<std::string_view, 4> system = {"os", "posix", "nt", "sys"};
  constexpr std::array<std::string_view, 13> calls = {"system",    "popen",  "spawn", "exec",   "posix_spawn",
                                                      "remove",    "unlink", "rmdir", "rename", "putenv",
                                                      "startfile", "_exit",  "kill"};
  if (std::ranges::find(modules, module) != modules.end()) return true;
  if (module == "builtins" || module == "__builtin__") return std::ranges::find(builtins, name) != builtins.end();
  if (module == "torch") return name == "load";
  if (module.starts_with("torch.hub") || module == "torch.serialization") return name.starts_with("load");
  if (std::ranges::find(system, module) == system.end()) return false;
  return std::ranges::any_of(calls, [&](std::string_view call) { return name.starts_with(call); });
}

/// The global of that name: of `pickle_globals`, or one that stands for all of its kind. Names are compared, not kept.
[[nodiscard]] inline const Global* find_global(std::string_view module, std::string_view name) {
  constexpr std::size_t longest = 80;  // of the known; a name that a pickle remembers may be of any length
  if (is_harmful(module, name)) return &harmful_global;
  if (module == "__torch__" || module.starts_with("__torch__.")) return &script_class;
  if (module.size() + name.size() > longest) return &unknown_global;
  if (module == "__builtin__") module = "builtins";  // Python 2
  if (module == "torch.cuda" && name.ends_with("Storage")) module = "torch";
  const auto full = std::string(module).append(".").append(name);
  const auto found = std::ranges::find(pickle_globals, full, &Global::name);
  if (found != pickle_globals.end()) return &*found;
  return full.starts_with("torch._utils._rebuild_") ? &foreign_tensor_global : &unknown_global;
}

}  // namespace thaw::detail
