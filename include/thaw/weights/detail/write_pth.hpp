// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/core/Storage.h>
#include <caffe2/serialize/inline_container.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <thaw/core/atomic_file.hpp>
#include <thaw/weights/detail/pickle_writer.hpp>
#include <thaw/weights/detail/savable.hpp>
#include <thaw/weights/state_dict.hpp>
#include <utility>
#include <vector>

namespace thaw::detail {

/// The elements of one storage that the tensors of a state dict use, from the first to the last of them: those of a
/// small view of something large, and once for tensors that share them.
class SharedElements {
 public:
  SharedElements(c10::Storage storage, const at::TensorOptions& options)
      : storage_(std::move(storage)), options_(options) {}

  void use(const at::Tensor& tensor) {
    if (tensor.numel() == 0) return;
    std::int64_t end = tensor.storage_offset() + 1;
    for (std::int64_t i = 0; i < tensor.dim(); ++i) end += (tensor.size(i) - 1) * tensor.stride(i);
    begin_ = end_ == 0 ? tensor.storage_offset() : std::min(begin_, tensor.storage_offset());
    end_ = std::max(end_, end);
  }

  [[nodiscard]] std::int64_t count() const { return end_ - begin_; }
  [[nodiscard]] std::int64_t offset(const at::Tensor& tensor) const {
    return tensor.numel() == 0 ? 0 : tensor.storage_offset() - begin_;
  }
  [[nodiscard]] at::Tensor elements() const {
    return at::empty({0}, options_).set_(storage_, begin_, {count()}, {1}).cpu();
  }

 private:
  c10::Storage storage_;
  at::TensorOptions options_;
  std::int64_t begin_ = 0, end_ = 0;
};

/// A state dict as torch.save lays it out: a pickle that describes the tensors, and what they share.
class PthContent {
 public:
  PthContent(const StateDict& state, const std::string& where) {
    std::vector<std::pair<at::Tensor, std::size_t>> tensors;  // and the place of their elements
    for (const auto& [name, tensor] : state) {
      at::Tensor plain = savable(where, name, tensor);
      if (python_name(Role::dtype, plain.scalar_type()).empty()) {
        throw no_type(where, name, plain, "convert it to a floating-point or integer type");
      }
      const std::size_t place = place_of(plain);
      storages_[place].use(plain);
      tensors.emplace_back(std::move(plain), place);
    }
    PickleWriter pickle;
    pickle.ordered_dict().op('(');
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      pickle.text((state.begin() + static_cast<std::ptrdiff_t>(i))->first);
      describe(pickle, tensors[i].first, tensors[i].second);
    }
    pickle_ = std::move(pickle.op('u')).finish();
  }

  [[nodiscard]] const std::string& pickle() const { return pickle_; }
  [[nodiscard]] const std::vector<SharedElements>& storages() const { return storages_; }

 private:
  [[nodiscard]] std::size_t place_of(const at::Tensor& tensor) {
    const auto key = std::pair(tensor.storage().unsafeGetStorageImpl(), tensor.scalar_type());
    const auto [place, is_new] = places_.try_emplace(key, storages_.size());
    if (is_new) storages_.emplace_back(tensor.storage(), tensor.options());
    return place->second;
  }

  /// The call of a rebuilding function, as torch.save records it: types newer than typed storages have one of bytes.
  void describe(PickleWriter& pickle, const at::Tensor& tensor, std::size_t place) const {
    const SharedElements& elements = storages_[place];
    const std::string_view storage = python_name(Role::storage, tensor.scalar_type());
    const bool typed = !storage.empty();
    pickle.global(typed ? "torch._utils._rebuild_tensor_v2" : "torch._utils._rebuild_tensor_v3").op('(');
    pickle.op('(').text("storage").global(typed ? storage : "torch.storage.UntypedStorage");
    pickle.text(std::to_string(place)).text("cpu");
    const std::int64_t width = typed ? 1 : static_cast<std::int64_t>(tensor.element_size());
    pickle.number(elements.count() * width).op('t').op('Q');
    pickle.number(elements.offset(tensor)).tuple(tensor.sizes()).tuple(tensor.strides());
    pickle.op('\x89').ordered_dict();  // requires no gradient, has no hooks
    if (!typed) pickle.global(python_name(Role::dtype, tensor.scalar_type()));
    pickle.op('t').op('R');
  }

  std::string pickle_;
  std::vector<SharedElements> storages_;
  std::map<std::pair<const c10::StorageImpl*, at::ScalarType>, std::size_t> places_;
};

/// Writes the zip archive that torch.save writes since 1.6. LibTorch's writer makes it: aligned, with checksums.
inline void write_pth(const StateDict& state, AtomicFile& file, const std::string& where) {
  const PthContent content(state, where);
  const auto sink = [&file](const void* data, std::size_t size) {
    file.write({static_cast<const char*>(data), size});
    return size;  // the file keeps its failures: LibTorch's writer would throw one from its destructor
  };
  caffe2::serialize::PyTorchStreamWriter archive(sink);
  archive.writeRecord("data.pkl", content.pickle().data(), content.pickle().size());
  archive.writeRecord("byteorder", "little", 6);
  for (std::size_t i = 0; i < content.storages().size(); ++i) {
    const at::Tensor elements = content.storages()[i].elements();
    archive.writeRecord(fmt::format("data/{}", i), elements.const_data_ptr(), elements.nbytes());
  }
  archive.writeEndOfFile();
}

}  // namespace thaw::detail
