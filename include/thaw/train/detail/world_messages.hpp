// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What processes tell each other: members of World. Included by thaw/train/world.hpp alone.

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cstddef>
#include <span>

#include <thaw/core/error.hpp>
#include <thaw/core/first_line.hpp>
#include <thaw/train/world.hpp>

namespace thaw {

namespace detail {

[[nodiscard]] inline at::Tensor bytes_of(std::string text) {
  return at::from_blob(text.data(), {std::ssize(text)}, at::kByte).clone();
}
[[nodiscard]] inline std::string text_of_bytes(const at::Tensor& bytes) {
  const at::Tensor own = bytes.contiguous();
  return {static_cast<const char*>(own.const_data_ptr()), own.nbytes()};
}

/// One line for those who did not see it; never empty.
[[nodiscard]] inline std::string said_by(const std::exception_ptr& failed) {
  try {
    std::rethrow_exception(failed);
  } catch (const std::exception& error) {
    const std::string line = first_line(error).substr(0, 500);
    return line.empty() ? "an exception without a word" : line;
  } catch (...) {
    return "an exception of a type of its own";
  }
}

}  // namespace detail

THAW_INLINE std::vector<double> World::all_reduce(std::vector<double> here, const std::exception_ptr& failed) const {
  if (is_single()) {
    if (failed) std::rethrow_exception(failed);
    return here;
  }
  constexpr std::size_t most = 4;  // one size, so that who fails early meets whatever the others ask next
  TORCH_INTERNAL_ASSERT(here.size() <= most);
  std::vector<double> padded = here;
  padded.resize(most + 1);
  padded[most] = failed ? 1 : 0;
  at::Tensor values = at::tensor(padded, at::kDouble);
  backend_->sum(values);
  const std::span all(values.const_data_ptr<double>(), padded.size());
  if (all[most] == 0) return {all.begin(), all.begin() + std::ssize(here)};
  const std::vector<std::string> said = all_gather(failed ? detail::said_by(failed) : "");
  if (failed) std::rethrow_exception(failed);
  const auto first = std::ranges::find_if(said, [](const std::string& text) { return !text.empty(); });
  throw ProcessError("rank " + std::to_string(rank()) + " of " + std::to_string(size()),
                     "rank " + std::to_string(first - said.begin()) + " failed: " + *first,
                     "do there what its error says; all processes ended together");
}

THAW_INLINE at::Tensor World::mean(const at::Tensor& values) const {
  if (is_single()) return values;
  at::Tensor sum = values / static_cast<double>(size());
  backend_->sum(sum);
  return sum;
}

THAW_INLINE std::vector<std::string> World::all_gather(const std::string& here) const {
  if (is_single()) return {here};
  at::Tensor sizes = at::zeros({size()}, at::kLong);
  sizes[rank()] = std::ssize(here);
  backend_->sum(sizes);
  const std::string all = detail::text_of_bytes(backend_->gather(detail::bytes_of(here)));
  std::vector<std::string> result;
  std::size_t at = 0;
  for (std::int64_t i = 0; i < size(); ++i) {
    const auto n = static_cast<std::size_t>(sizes[i].item<std::int64_t>());
    result.push_back(all.substr(at, n));
    at += n;
  }
  return result;
}

/// First what there is, as a state of its own that is short and of one type each; then the tensors.
THAW_INLINE RunState World::state_of(std::int64_t root, RunState here) const {
  if (is_single()) return here;
  const bool sends = rank() == root;
  std::vector<std::string> names;
  std::vector<std::int64_t> types, dims, sizes;
  if (sends)
    for (auto& [name, tensor] : here) {
      tensor = tensor.detach().cpu().contiguous();
      names.push_back(name);
      types.push_back(static_cast<std::int64_t>(tensor.scalar_type()));
      dims.push_back(tensor.dim());
      sizes.insert(sizes.end(), tensor.sizes().begin(), tensor.sizes().end());
    }
  RunState contents;
  const StateVisitor written(contents, /*reading=*/false);
  written("names", names), written("types", types), written("dims", dims), written("sizes", sizes);
  at::Tensor lengths = at::zeros({std::ssize(contents)}, at::kLong);
  if (sends)
    for (std::int64_t i = 0; auto& [name, tensor] : contents) lengths[i++] = tensor.numel();
  backend_->broadcast({lengths}, root);
  std::vector<at::Tensor> tensors;
  for (std::int64_t i = 0; auto& [name, tensor] : contents) {
    const auto n = lengths[i++].item<std::int64_t>();
    if (!sends) tensor = at::empty({n}, tensor.options());
    if (n > 0) tensors.push_back(tensor);
  }
  backend_->broadcast(tensors, root);
  const StateVisitor read(contents, /*reading=*/true);
  read("names", names), read("types", types), read("dims", dims), read("sizes", sizes);
  if (!sends) here.clear();
  tensors.clear();
  const std::int64_t* size = sizes.data();
  for (std::size_t i = 0; i < names.size(); ++i) {
    const at::IntArrayRef own(size, static_cast<std::size_t>(dims[i]));
    if (!sends) here[names[i]] = at::empty(own, static_cast<at::ScalarType>(types[i]));
    size += dims[i];
    if (here[names[i]].numel() > 0) tensors.push_back(here[names[i]]);
  }
  backend_->broadcast(tensors, root);
  return here;
}

}  // namespace thaw
