// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <torch/csrc/distributed/c10d/comm.hpp>

#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/core/first_line.hpp>
#include <thaw/data/batch.hpp>
#include <thaw/data/shard.hpp>
#include <thaw/distributed/detail/nccl.hpp>
#include <thaw/distributed/environment.hpp>
#include <thaw/groups/layer_groups.hpp>

namespace thaw::distributed {

/// A process's part of a batch.
struct Share {
  Batch batch;        ///< a sample of the batch that does not count, where there are fewer of them than processes
  double weight = 1;  ///< of its mean loss: then the mean of all processes' gradients is that of the whole batch
};

struct InitOptions {
  std::chrono::milliseconds timeout = std::chrono::minutes(30);  ///< that one process waits for another
};

namespace detail {

[[nodiscard]] inline ProcessError not_together(std::int64_t rank, std::int64_t size, const char* what,
                                               const std::exception& error) {
  return {"rank " + std::to_string(rank) + " of " + std::to_string(size),
          std::string(what) + " failed: " + thaw::detail::first_line(error).substr(0, 300),
          "look at what the other processes say: one of them has ended, hangs, or took another way"};
}

/// Row i of `from` goes to process i, and row i of `to` comes from there.
template <class Group = c10d::ProcessGroup>
void all_to_all(Group& group, at::Tensor& to, at::Tensor& from) {
  std::vector<std::int64_t> equal;
  if constexpr (requires { group.all_to_all_single(to, from, equal, equal); })
    group.all_to_all_single(to, from, equal, equal)->wait();
  else
    group.alltoall_base(to, from, equal, equal)->wait();  // its name before 2.13
}

}  // namespace detail

/// The processes that train one model together, each on its part of every batch: a handle of c10d's process group.
///
///     const auto processes = thaw::distributed::init();
///     processes.broadcast(groups);                                 // all begin with the weights of rank 0
///     thaw::distributed::GradientMean mean(processes, groups);
///     for (const thaw::Batch& whole : batches) {                   // the same ones in every process
///       const auto [batch, weight] = processes.share(whole);
///       mean.next_backward();
///       (loss(model->forward(batch.input[0]), batch.target[0]) * weight).backward();
///       optimizer.step(), optimizer.zero_grad();
///     }
///
/// Every process has to make the same calls in the same order. One that is alone makes them at no cost. What fails
/// because another process died, or did not come within the time-out, is a ProcessError in all others.
class Processes {
 public:
  /// One process alone.
  Processes() = default;
  /// Of a group that there is already.
  explicit Processes(c10::intrusive_ptr<c10d::ProcessGroup> group, std::int64_t local_rank = 0)
      : group_(std::move(group)), local_rank_(local_rank) {}

  [[nodiscard]] std::int64_t rank() const { return group_ ? group_->getRank() : 0; }
  [[nodiscard]] std::int64_t size() const { return group_ ? group_->getSize() : 1; }
  /// Among those of this machine.
  [[nodiscard]] std::int64_t local_rank() const { return local_rank_; }
  /// Which part of every batch is its own.
  [[nodiscard]] Shard shard() const { return {.index = rank(), .count = size()}; }
  /// Null for a process alone.
  [[nodiscard]] const c10::intrusive_ptr<c10d::ProcessGroup>& group() const { return group_; }
  /// Where its model goes: the CUDA device of its local rank, or the CPU where there is none at all. Throws ConfigError
  /// where a machine has more processes than devices.
  [[nodiscard]] at::Device device() const {
    const std::int64_t devices = detail::cuda_devices();
    if (devices == 0) return at::kCPU;
    if (local_rank_ >= devices)
      throw ConfigError("Processes::device",
                        "this is local rank " + std::to_string(local_rank_) + " on a machine with " +
                            std::to_string(devices) + (devices == 1 ? " GPU" : " GPUs"),
                        "start as many processes as it has (torchrun --nproc-per-node), or stay on the CPU");
    return {at::kCUDA, static_cast<at::DeviceIndex>(local_rank_)};
  }
  /// Throws ConfigError for a device whose tensors they cannot send each other.
  void check_reach(const at::Device& device) const {
    if (size() == 1) return;
    for (const auto& each : group_->getDeviceTypes())
      if (at::Device(each).type() == device.type()) return;
    throw ConfigError("distributed::init", "tensors of " + device.str() + " cannot be sent to other processes",
                      device.is_cuda() ? "build with NCCL: a LibTorch that has it, and its nccl.h where CMake looks "
                                         "(NCCL_ROOT); or train on the CPU"
                                       : "train on the CPU");
  }

  /// The sum over all processes, in place, with the same bits in all of them.
  void sum(at::Tensor& values) const {
    if (size() == 1 || values.numel() == 0) return;
    const c10::NoGradGuard no_grad;
    together("a sum over all processes", [&] {
      if (values.is_cpu() && values.nbytes() <= short_message) return sum_of_all(values);
      std::vector<at::Tensor> all{values.contiguous()};  // Gloo would take a view's memory as it lies there
      group_->allreduce(all)->wait();
      if (!values.is_contiguous()) values.copy_(all[0]);
    });
  }

  /// Whether it is so in any process.
  [[nodiscard]] bool any(bool here) const {
    at::Tensor count = at::full({}, here ? 1 : 0, at::kLong);
    sum(count);
    return count.item<std::int64_t>() > 0;
  }

  /// What every process has, one behind the other along dimension 0, in which they may differ in size. Throws DataError
  /// for a tensor without dimensions.
  [[nodiscard]] at::Tensor gather(const at::Tensor& values) const {
    if (values.dim() == 0)
      throw DataError("Processes::gather", "the tensor has no dimension along which to put them one behind the other",
                      "give values.reshape({1})");
    if (size() == 1) return values;
    const c10::NoGradGuard no_grad;
    at::Tensor sizes = at::zeros({size()}, at::kLong);
    sizes[rank()] = values.size(0);
    sum(sizes);
    std::vector<std::int64_t> longest = values.sizes().vec();
    longest[0] = sizes.max().item<std::int64_t>();
    at::Tensor padded = at::zeros(longest, values.options());
    padded.slice(0, 0, values.size(0)).copy_(values);
    std::vector<at::Tensor> mine{padded}, all;
    for (std::int64_t i = 0; i < size(); ++i) all.push_back(at::empty_like(padded));
    std::vector<std::vector<at::Tensor>> from_all{all};
    together("gathering from all processes", [&] { group_->allgather(from_all, mine)->wait(); });
    for (std::int64_t i = 0; i < size(); ++i) {
      at::Tensor& each = all[static_cast<std::size_t>(i)];
      each = each.slice(0, 0, sizes[i].item<std::int64_t>());
    }
    return at::cat(all);
  }

  /// All processes get the tensors of one of them, in place.
  void broadcast(const std::vector<at::Tensor>& tensors, std::int64_t root = 0) const {
    if (size() == 1 || tensors.empty()) return;
    const c10::NoGradGuard no_grad;
    std::vector<at::Tensor> all;
    all.reserve(tensors.size());
    for (const at::Tensor& tensor : tensors) all.push_back(tensor.detach());
    together("sending to all processes",
             [&] { c10d::broadcast_coalesced(group_, all, std::size_t{250} << 20U, static_cast<int>(root)); });
  }
  /// The same of all parameters and buffers.
  void broadcast(const LayerGroups& groups) const {
    std::vector<at::Tensor> all;
    groups.each_tensor([&](const std::string&, const at::Tensor& tensor) { all.push_back(tensor); });
    broadcast(all);
  }

  /// All wait here for all others.
  void barrier() const { (void)any(false); }

  /// The part of a batch that this process trains on: they differ by one sample at most, and nothing is left out or
  /// seen twice. Throws DataError for a batch without samples.
  [[nodiscard]] Share share(const Batch& whole) const {
    if (whole.size() == 0) throw DataError("Processes::share", "the batch has no samples", "leave it out");
    Batch own = shard_of(whole, shard());
    const double weight = static_cast<double>(own.counted() * size()) / static_cast<double>(whole.size());
    return {.batch = std::move(own), .weight = weight};
  }

 private:
  /// In bytes: one that short takes a link no longer than an empty one, more or less.
  static constexpr std::size_t short_message = 8192;

  /// Everybody sends to everybody at once, so that it takes a message there and one back however many they are; around
  /// the ring of Gloo's allreduce it takes 2 (n - 1) messages, one after the other.
  void sum_of_all(at::Tensor& values) const {
    at::Tensor copies = values.reshape({1, -1}).repeat({size(), 1}), all = at::empty_like(copies);
    detail::all_to_all(*group_, all, copies);
    values.copy_(all.sum(0, /*keepdim=*/false, values.scalar_type()).view_as(values));
  }

  template <class Call>
  void together(const char* what, Call call) const try {
    call();
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    throw detail::not_together(rank(), size(), what, error);
  }

  c10::intrusive_ptr<c10d::ProcessGroup> group_ = {};
  std::int64_t local_rank_ = 0;
};

namespace detail {

/// Gloo writes to sockets whose other end may be gone, which by default ends a process without a word. Python ignores
/// that signal; a handler of the program's own stays.
inline void ignore_broken_pipes() {
  struct sigaction now{};
  if (::sigaction(SIGPIPE, nullptr, &now) != 0 || now.sa_handler != SIG_DFL) return;
  now.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &now, nullptr);
}

}  // namespace detail

/// Joins the other processes that torchrun, mpirun or srun started; one that was started alone is alone. Waits until
/// all are there. Tensors of the CPU go by Gloo, those of CUDA devices by NCCL, if it was built with that. SIGPIPE is
/// ignored from then on, unless the program handles it. Throws ProcessError when the others do not come within the
/// time-out, ConfigError as `environment` does, and where there are several GPUs and no local rank.
[[nodiscard]] inline Processes init(const Environment& here = environment(), const InitOptions& options = {}) {
  if (here.size == 1) return {};
  const std::int64_t gpu = detail::own_gpu(here, detail::cuda_devices());
  detail::ignore_broken_pipes();
  try {
    c10d::TCPStoreOptions meeting;
    meeting.port = static_cast<std::uint16_t>(here.port);
    meeting.isServer = here.rank == 0 && !here.agent;
    meeting.timeout = options.timeout;
    if (!here.agent) meeting.numWorkers = static_cast<std::size_t>(here.size);
    const auto place = c10::make_intrusive<c10d::TCPStore>(here.address, meeting);
    place->setTimeout(options.timeout);
    const auto store = c10::make_intrusive<c10d::PrefixStore>("thaw/attempt " + std::to_string(here.attempt), place);
    const int rank = static_cast<int>(here.rank), size = static_cast<int>(here.size);
    const auto how = c10d::ProcessGroupGloo::Options::create(options.timeout);
    how->devices.push_back(here.interface.empty() ? c10d::ProcessGroupGloo::createDefaultDevice()
                                                  : c10d::ProcessGroupGloo::createDeviceForInterface(here.interface));
    const auto gloo = c10::make_intrusive<c10d::ProcessGroupGloo>(store, rank, size, how);
    auto group = c10::make_intrusive<c10d::ProcessGroup>(store, rank, size);
    group->setDefaultBackend(c10d::ProcessGroup::BackendType::GLOO);
    group->setBackend(c10::DeviceType::CPU, c10d::ProcessGroup::BackendType::GLOO, gloo);
    detail::add_nccl(*group, store, gpu, options.timeout);
    return Processes(std::move(group), gpu);
  } catch (const ConfigError&) {
    throw;
  } catch (const std::exception& error) {
    throw ProcessError("rank " + std::to_string(here.rank) + " of " + std::to_string(here.size),
                       "the processes did not meet at " + here.address + ":" + std::to_string(here.port) + ": " +
                           thaw::detail::first_line(error).substr(0, 300),
                       "see that all " + std::to_string(here.size) +
                           " were started, and that the address and the port can be reached from each");
  }
}

}  // namespace thaw::distributed
