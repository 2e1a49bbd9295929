// SPDX-License-Identifier: BSD-3-Clause
// What the device computes: everything on the CPU, on tensors that lie in the same memory.

#include <ATen/EmptyTensor.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/stack.h>
#include <ATen/ops/_local_scalar_dense.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/DispatchKeySet.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/library.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "device/accelerator_state.hpp"

namespace thaw::test::accelerator {

namespace {

/// The CPU's kernels, without autograd and autocast.
struct CpuKernels {
  at::AutoDispatchBelowADInplaceOrView no_autograd;
  c10::impl::ExcludeDispatchKeyGuard no_autocast{c10::autocast_dispatch_keyset};
};

/// The default generator of the CPU has the numbers of the device's meanwhile: for kernels that take none.
class DrawAsDevice {
 public:
  DrawAsDevice() { cpu_.set_state(random().get_state()); }
  ~DrawAsDevice() {
    random().set_state(cpu_.get_state());
    cpu_.set_state(before_);
  }
  DrawAsDevice(const DrawAsDevice&) = delete;
  DrawAsDevice& operator=(const DrawAsDevice&) = delete;

 private:
  at::Generator cpu_ = at::globalContext().defaultGenerator(at::kCPU);
  const at::Tensor before_ = cpu_.get_state();
};

at::Tensor empty(at::IntArrayRef sizes, std::optional<at::ScalarType> type, std::optional<at::Layout>,
                 std::optional<at::Device>, std::optional<bool>, std::optional<at::MemoryFormat> format) {
  return at::Tensor(at::detail::empty_generic(sizes, &allocator(), c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                              c10::dtype_or_default(type), format));
}

at::Tensor empty_strided(at::IntArrayRef sizes, at::IntArrayRef strides, std::optional<at::ScalarType> type,
                         std::optional<at::Layout>, std::optional<at::Device>, std::optional<bool>) {
  return at::Tensor(at::detail::empty_strided_generic(
      sizes, strides, &allocator(), c10::DispatchKeySet(c10::DispatchKey::PrivateUse1), c10::dtype_or_default(type)));
}

bool ours(const at::Tensor& tensor) {
  return tensor.defined() && tensor.is_privateuseone();
}

Blocks blocks_of(const std::vector<at::Tensor>& tensors) {
  Blocks blocks;
  for (const at::Tensor& tensor : tensors)
    if (ours(tensor))
      if (auto block = block_of(tensor.storage().data())) blocks.push_back(std::move(block));
  return blocks;
}

/// The device's tensors as the CPU sees them, and back.
class HostView {
 public:
  at::Tensor of(const at::Tensor& tensor) {
    if (!ours(tensor)) return tensor;
    for (std::size_t i = 0; i < host_.size(); ++i)
      if (device_[i].is_same(tensor)) return host_[i];
    at::Tensor host = at::detail::make_tensor<c10::TensorImpl>(
        storage_of(tensor), c10::DispatchKeySet(c10::DispatchKey::CPU), tensor.dtype());
    host.unsafeGetTensorImpl()->set_sizes_and_strides(tensor.sizes(), tensor.strides(), tensor.storage_offset());
    device_.push_back(tensor), host_.push_back(host);
    return host;
  }

  c10::IValue of(const c10::IValue& value) {
    if (value.isTensor()) return of(value.toTensor());
    if (value.isDevice()) return at::Device(at::kCPU);
    if (value.isTensorList()) {
      c10::List<at::Tensor> list;
      for (const at::Tensor& each : value.toTensorVector()) list.push_back(of(each));
      return list;
    }
    if (!value.isOptionalTensorList()) return value;
    c10::List<std::optional<at::Tensor>> list;
    for (const std::optional<at::Tensor>& each : value.toOptionalTensorVector())
      list.push_back(each ? std::optional(of(*each)) : each);
    return list;
  }

  /// Of what a kernel gave: an argument, a view of one, or something new, whose host view is added to `made`.
  at::Tensor back(const at::Tensor& result, std::vector<at::Tensor>& made) {
    if (!result.defined()) return result;
    for (std::size_t i = 0; i < host_.size(); ++i)
      if (host_[i].is_same(result)) return device_[i];
    at::Tensor device;
    for (std::size_t i = 0; i < host_.size() && !device.defined(); ++i)
      if (host_[i].is_alias_of(result)) {
        device = at::detail::make_tensor<c10::TensorImpl>(c10::Storage(device_[i].storage()), device_[i].key_set(),
                                                          result.dtype());
        device.unsafeGetTensorImpl()->set_sizes_and_strides(result.sizes(), result.strides(), result.storage_offset());
      }
    if (device.defined()) return device;
    device = result.is_non_overlapping_and_dense()
                 ? empty_strided(result.sizes(), result.strides(), result.scalar_type(), {}, {}, {})
                 : empty(result.sizes(), result.scalar_type(), {}, {}, {}, {});
    made.push_back(of(device));
    made.back().copy_(result);
    return device;
  }

  /// What a kernel gave a larger memory or other sizes.
  void adopt_resized() {
    for (std::size_t i = 0; i < host_.size(); ++i) {
      c10::StorageImpl& device = *device_[i].storage().unsafeGetStorageImpl();
      const at::Storage& host = host_[i].storage();
      if (host.data() != on_host(device.data())) {
        c10::DataPtr data = allocator().allocate(host.nbytes());
        std::memcpy(on_host(data.get()), host.data(), host.nbytes());
        device.set_data_ptr_noswap(std::move(data));
        device.set_nbytes(host.nbytes());
      }
      if (host_[i].sizes() != device_[i].sizes() || host_[i].strides() != device_[i].strides())
        device_[i].unsafeGetTensorImpl()->set_sizes_and_strides(host_[i].sizes(), host_[i].strides(),
                                                                host_[i].storage_offset());
    }
  }

  [[nodiscard]] const std::vector<at::Tensor>& host() const { return host_; }

 private:
  c10::Storage storage_of(const at::Tensor& tensor) const {
    for (std::size_t i = 0; i < host_.size(); ++i)
      if (device_[i].is_alias_of(tensor)) return host_[i].storage();
    const c10::Storage& storage = tensor.storage();
    return {c10::Storage::use_byte_size_t(), storage.nbytes(), at::DataPtr(on_host(storage.data()), at::kCPU),
            c10::GetAllocator(at::kCPU), /*resizable=*/true};
  }

  std::vector<at::Tensor> device_, host_;
};

/// The same memory, which may be freed.
at::Tensor address_of(const at::Tensor& tensor) {
  return at::from_blob(tensor.data_ptr(), tensor.sizes(), tensor.strides(), tensor.options());
}

std::vector<at::Tensor> tensors_in(const c10::IValue& value) {
  std::vector<at::Tensor> tensors;
  if (value.isTensor()) tensors = {value.toTensor()};
  if (value.isTensorList()) tensors = value.toTensorVector();
  if (value.isOptionalTensorList())
    for (const auto& each : value.toOptionalTensorVector()) tensors.push_back(each.value_or(at::Tensor()));
  std::erase_if(tensors, [](const at::Tensor& tensor) { return !tensor.defined(); });
  return tensors;
}

bool is_indexing(const std::string& name) {
  return name == "aten::index" || name == "aten::_unsafe_index" || name == "aten::_index_put_impl_";
}

/// Whether CUDA takes this tensor of the CPU.
bool may_be_on_cpu(const c10::OperatorHandle& op, const c10::Argument& argument, const at::Tensor& tensor) {
  const std::string& name = op.schema().name();
  if (argument.alias_info() && argument.alias_info()->isWrite()) return false;
  if (is_indexing(name) && argument.name() == "indices") return true;
  return tensor.dim() == 0 && (op.hasTag(at::Tag::pointwise) || is_indexing(name) || name == "aten::fill_" ||
                               name == "aten::masked_fill_" || name.starts_with("aten::_foreach_"));
}

/// Whether CUDA's host waits for the device, to know the size or the value of the result.
bool waits(const c10::OperatorHandle& op, const std::vector<c10::IValue>& given) {
  if (op.hasTag(at::Tag::data_dependent_output)) return true;
  if (!is_indexing(op.schema().name())) return op.hasTag(at::Tag::dynamic_output_shape);
  const bool fills = op.schema().name() == "aten::_index_put_impl_" && given[2].toTensor().numel() == 1;
  return std::ranges::any_of(tensors_in(given[1]), [&](const at::Tensor& index) {
    return !ours(index) || (!fills && (index.scalar_type() == at::kBool || index.scalar_type() == at::kByte));
  });
}

std::vector<c10::IValue> call(const c10::OperatorHandle& op, std::vector<c10::IValue> stack) {
  const CpuKernels guard;
  std::optional<DrawAsDevice> draws;
  if (op.hasTag(at::Tag::nondeterministic_seeded) && !op.schema().argumentIndexWithName("generator")) draws.emplace();
  op.callBoxed(&stack);
  return stack;
}

/// Runs the CPU's kernel of an operation on the device's memory.
void compute(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const std::scoped_lock lock(state().mutex);
  const auto& arguments = op.schema().arguments();
  const std::string& name = op.schema().name();
  const std::vector<c10::IValue> given = torch::jit::pop(*stack, arguments.size());

  std::vector<at::Tensor> read, written;
  for (std::size_t i = 0; i < given.size(); ++i)
    for (const at::Tensor& tensor : tensors_in(given[i])) {
      TORCH_CHECK(ours(tensor) || may_be_on_cpu(op, arguments[i], tensor),
                  "Expected all tensors to be on the same device, but found at least two devices, ", device(), " and ",
                  tensor.device(), "! (when checking argument ", arguments[i].name(), " of ", name, ")");
      const bool writes = arguments[i].alias_info() && arguments[i].alias_info()->isWrite();
      (writes ? written : read).push_back(tensor);
    }
  if (waits(op, given)) sync(name);
  begin(name, blocks_of(read), blocks_of(written));

  HostView view;
  std::vector<c10::IValue> on_cpu;
  for (std::size_t i = 0; i < given.size(); ++i)
    if (arguments[i].name() == "generator")
      on_cpu.emplace_back(drawn_from(given[i].isNone() ? at::Generator() : given[i].toGenerator()));
    else
      on_cpu.push_back(view.of(given[i]));
  const std::vector<c10::IValue> results = call(op, on_cpu);
  view.adopt_resized();

  std::vector<at::Tensor> made;
  const std::vector<at::Tensor> known = view.host();
  for (const c10::IValue& result : results) {
    if (result.isTensor()) {
      stack->emplace_back(view.back(result.toTensor(), made));
    } else if (result.isTensorList()) {
      c10::List<at::Tensor> list;
      for (const at::Tensor& each : result.toTensorVector()) list.push_back(view.back(each, made));
      stack->emplace_back(list);
    } else {
      stack->push_back(result);
    }
  }
  if (!capture()) return;
  Blocks blocks = blocks_of(read);
  for (const auto& block : blocks_of(written)) blocks.push_back(block);
  record(name, blocks, [op, on_cpu, known, made] {
    auto next = made.begin();
    for (const c10::IValue& result : call(op, on_cpu))
      for (const at::Tensor& each : tensors_in(result))
        if (std::ranges::none_of(known, [&](const at::Tensor& argument) { return argument.is_alias_of(each); }))
          (next++)->copy_(each);
  });
}

void convolution(const c10::OperatorHandle&, torch::jit::Stack* stack) {
  compute(c10::Dispatcher::singleton().findSchemaOrThrow("aten::convolution", ""), stack);
}

void convolution_backward(const c10::OperatorHandle&, torch::jit::Stack* stack) {
  const std::vector<std::int64_t> bias_sizes{torch::jit::peek(*stack, 0, 10).toTensor().size(1)};
  stack->insert(stack->end() - 7, c10::IValue(bias_sizes));
  compute(c10::Dispatcher::singleton().findSchemaOrThrow("aten::convolution_backward", ""), stack);
}

at::Tensor copy_from(const at::Tensor& from, const at::Tensor& to, bool non_blocking) {
  const std::scoped_lock lock(state().mutex);
  if (to.numel() == 0) return to;
  const bool as_it_is = from.sizes() == to.sizes() && from.strides() == to.strides() &&
                        from.is_non_overlapping_and_dense();  // otherwise a copy of it is made, not in pinned memory
  const at::Tensor& host_side = ours(from) ? to : from;
  const bool crosses = !ours(host_side);
  const bool at_once = !crosses || !non_blocking || !as_it_is || !is_pinned(host_side);
  if (crosses && at_once) sync(ours(from) ? "a copy to the host" : "a copy to the device");

  HostView view;
  const at::Tensor source = view.of(from), target = view.of(to);
  const auto run = [](const at::Tensor& target_, const at::Tensor& source_) {
    const CpuKernels guard;
    target_.copy_(source_);
  };
  const bool behind_others = !crosses && !state().streams[current_stream()].copies.empty();
  const bool queued = !capture() && (ours(to) ? current_stream() != 0 && (!at_once || behind_others) : !at_once);
  begin("copy_", blocks_of({from}), blocks_of({to}), queued && ours(to));
  if (!queued) {
    run(target, source);
    if (crosses && capture()) capture()->pinned.insert(host_side.storage().data());
    record("copy_", blocks_of({from, to}),
           [run, target = address_of(target), source = address_of(source)] { run(target, source); });
    return to;
  }
  // What the host sees is the source as it is now; what a stream sees, as it will be.
  const at::Tensor seen = ours(to) ? source : source.clone();
  if (as_it_is) std::memset(target.data_ptr(), 0xFF, target.nbytes());
  Stream& stream = state().streams[current_stream()];
  stream.copies.push_back(
      {stream.now, /*to_host=*/!ours(to), [run, target, seen, alive = blocks_of({from, to})] { run(target, seen); }});
  return to;
}

at::Scalar read_scalar(const at::Tensor& self) {
  const std::scoped_lock lock(state().mutex);
  begin("item()", blocks_of({self}), {});
  sync("item()");
  const CpuKernels guard;
  return at::_local_scalar_dense(HostView().of(self));
}

at::Tensor& set_storage(at::Tensor& self, at::Storage source, std::int64_t offset, at::IntArrayRef sizes,
                        at::IntArrayRef strides) {
  c10::TensorImpl& impl = *self.unsafeGetTensorImpl();
  impl.set_storage_keep_dtype(std::move(source));
  if (strides.empty()) {
    impl.set_storage_offset(offset);
    impl.set_sizes_contiguous(sizes);
  } else {
    impl.set_sizes_and_strides(sizes, strides, offset);
  }
  return self;
}
at::Tensor& set_whole_storage(at::Tensor& self, at::Storage source) {
  const auto n = static_cast<std::int64_t>(source.nbytes() / self.dtype().itemsize());
  return set_storage(self, std::move(source), 0, {n}, {});
}
at::Tensor& set_tensor(at::Tensor& self, const at::Tensor& source) {
  return set_storage(self, source.storage(), source.storage_offset(), source.sizes(), source.strides());
}

void record_stream(at::Tensor& self, c10::Stream stream) {
  const std::scoped_lock lock(state().mutex);
  if (const auto block = block_of(self.storage().data())) block->recorded.insert(stream.id());
}

/// Module::to(device) asks; CUDA says so.
bool may_change_places(const at::Tensor&, const at::Tensor&) {
  return true;
}

}  // namespace

TORCH_LIBRARY_IMPL(_, PrivateUse1, library) {
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&compute>());
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("empty.memory_format", &empty);
  library.impl("empty_strided", &empty_strided);
  library.impl("_copy_from", &copy_from);
  library.impl("_local_scalar_dense", &read_scalar);
  library.impl("set_.source_Storage_storage_offset", &set_storage);
  library.impl("set_.source_Storage", &set_whole_storage);
  library.impl("set_.source_Tensor", &set_tensor);
  library.impl("_has_compatible_shallow_copy_type", &may_change_places);
  library.impl("record_stream", &record_stream);
  library.impl("mse_loss",
               torch::CppFunction::makeFromBoxedFunction<&compute>());  // its out= warns of a resized output
  library.impl("convolution_overrideable", torch::CppFunction::makeFromBoxedFunction<&convolution>());
  library.impl("convolution_backward_overrideable", torch::CppFunction::makeFromBoxedFunction<&convolution_backward>());
}

}  // namespace thaw::test::accelerator
