// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <c10/util/Exception.h>
#include <gloo/common/error.h>
#include <torch/csrc/distributed/c10d/reducer.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <tuple>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#include <thaw/distributed/processes.hpp>
#include <thaw/groups/layer_groups.hpp>

namespace thaw::distributed {

namespace detail {

/// What c10d's Reducer is made of: parameters in buckets, which are sent as soon as backward has filled them.
struct Buckets {
  std::vector<at::Tensor> parameters;
  std::unordered_map<std::size_t, std::string> names;
  std::vector<std::vector<std::size_t>> of;
  std::vector<std::size_t> limits;
};

/// A T of the first of these that its constructor takes.
template <class T, class... First, class... Others>
[[nodiscard]] std::unique_ptr<T> make_of(const std::tuple<First...>& first, const Others&... others) {
  if constexpr (std::is_constructible_v<T, const First&...> || sizeof...(Others) == 0)
    return std::apply([](const First&... each) { return std::make_unique<T>(each...); }, first);
  else
    return make_of<T>(others...);
}

/// c10d's constructor takes other things in each version of LibTorch.
[[nodiscard]] inline std::unique_ptr<c10d::Reducer> make_reducer(const c10::intrusive_ptr<c10d::ProcessGroup>& group,
                                                                 const Buckets& buckets, bool find_unused) {
  constexpr bool gradient_as_bucket_view = false;  // zero_grad would throw on views
  const std::tuple first(buckets.parameters, buckets.of);
  const std::tuple then(group, std::vector<bool>(buckets.parameters.size(), false),
                        std::int64_t{c10d::kDefaultBucketBytesCap}, find_unused, gradient_as_bucket_view, buckets.names,
                        std::int64_t{c10d::kDefaultFirstBucketBytes});
  const std::tuple switches(/*skip_all_reduce_unused_params=*/false, /*use_python_reducer=*/false);
  const std::vector<std::int64_t> limits(buckets.limits.begin(), buckets.limits.end());
  return make_of<c10d::Reducer>(std::tuple_cat(first, then, switches, std::tuple(limits)),  // 2.11 and newer
                                std::tuple_cat(first, then, switches),                      // 2.8
                                std::tuple_cat(first, then),                                // 2.7
                                std::tuple_cat(first, std::tuple(buckets.limits), then));   // 2.6
}

}  // namespace detail

/// Makes the gradients of every process their mean over all of them, while backward still runs: c10d's Reducer, which
/// sends them in buckets as they become ready. It knows the parameters that train, and no others: frozen ones cost no
/// traffic. What is frozen and thawed between two steps is noticed.
///
///     mean.backward(loss);      // or, where there is more to it: mean.next_backward(), loss.backward()
///
/// In a backward pass that was not announced gradients add up in each process alone, and the next one that was
/// announced sends their sum: all but the last of the batches whose gradients are accumulated (PyTorch's no_sync).
/// Every parameter that requires a gradient has to get one in an announced pass, unless `find_unused_parameters` is set
/// and the pass is announced with its loss: one that the loss depends on in some processes alone counts as zero in the
/// others, and one that it depends on in none keeps the gradient it had. Source: PyTorch's DistributedDataParallel (Li
/// et al. 2020, arXiv:2006.15704).
class GradientMean {
 public:
  GradientMean(Processes processes, LayerGroups groups, bool find_unused_parameters = false)
      : processes_(std::move(processes)), groups_(std::move(groups)), find_unused_(find_unused_parameters) {}

  void next_backward(const at::Tensor& loss = {}) {
    if (processes_.size() == 1) return;
    std::vector<at::Tensor> trained;
    each_trained([&](const GroupParameter& parameter) { trained.push_back(parameter.tensor); });
    if (!std::ranges::equal(trained, trained_, [](const auto& a, const auto& b) { return a.is_same(b); })) {
      reducer_.reset();  // its hooks go before those of the next
      trained_ = std::move(trained);
      reducer_ = trained_.empty() ? nullptr : make();
    }
    if (!reducer_) return;
    if (find_unused_ && !loss.defined())
      throw ConfigError("GradientMean", "unused parameters are to be found, but there is no loss to search from",
                        "announce the pass by next_backward(loss)");
    (void)reducer_->rebuild_buckets();  // once, in the order in which they came; throws where a gradient was missing
    reducer_->prepare_for_backward(find_unused_ ? std::vector<at::Tensor>{loss} : std::vector<at::Tensor>());
  }

  /// Announces the pass and runs it. Throws ProcessError where gradients could not be sent; in a pass run otherwise
  /// that is an error of Gloo's or NCCL's.
  void backward(const at::Tensor& loss) {
    next_backward(loss);
    const auto not_sent = [this](const std::exception& error) {
      return detail::not_together(processes_.rank(), processes_.size(), "sending gradients", error);
    };
    try {
      loss.backward();
    } catch (const gloo::Exception& error) {
      throw not_sent(error);
    } catch (const c10::DistError& error) {  // NCCL's
      throw not_sent(error);
    }
  }

  /// Of the parameters whose gradients are sent: how many.
  [[nodiscard]] std::int64_t numel() const {
    std::int64_t sum = 0;
    for (const at::Tensor& each : trained_) sum += each.numel();
    return sum;
  }

 private:
  template <class Call>
  void each_trained(const Call& call) const {
    for (const LayerGroup& group : groups_)
      for (const GroupParameter& parameter : group.parameters)
        if (parameter.tensor.requires_grad()) call(parameter);
  }

  [[nodiscard]] std::unique_ptr<c10d::Reducer> make() const {
    detail::Buckets buckets{.parameters = trained_, .names = {}, .of = {}, .limits = {}};
    each_trained([&](const GroupParameter& parameter) { buckets.names.emplace(buckets.names.size(), parameter.name); });
    auto [of, limits] = c10d::compute_bucket_assignment_by_size(
        trained_, {c10d::kDefaultFirstBucketBytes, c10d::kDefaultBucketBytesCap});
    std::ranges::reverse(of);  // the last layers' gradients are ready first
    std::ranges::reverse(limits);
    buckets.of = std::move(of);
    buckets.limits = std::move(limits);
    return detail::make_reducer(processes_.group(), buckets, find_unused_);
  }

  Processes processes_;
  LayerGroups groups_;
  bool find_unused_;
  std::vector<at::Tensor> trained_;
  std::unique_ptr<c10d::Reducer> reducer_;
};

}  // namespace thaw::distributed
