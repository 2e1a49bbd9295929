// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/ThreadLocalState.h>

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <queue>
#include <string>
#include <thread>
#include <utility>

#include <thaw/core/accelerator.hpp>
#include <thaw/core/compiled.hpp>
#include <thaw/core/error.hpp>
#include <thaw/core/random_state.hpp>
#include <thaw/data/source.hpp>

namespace thaw {

struct PrefetchOptions {
  std::int64_t batches = 2;  ///< how many may be ready before they are asked for
  bool pin_memory = true;    ///< where there is a GPU: in page-locked memory, so that copies to it do not wait
};

namespace detail {

/// A pass that another thread runs ahead of its reader, in the reader's grad mode and the like.
class BackgroundPass {
 public:
  BackgroundPass(BatchStream source, const PrefetchOptions& options);

  ~BackgroundPass();
  BackgroundPass(const BackgroundPass&) = delete;
  BackgroundPass& operator=(const BackgroundPass&) = delete;

  /// Waits for the next batch. What the source threw comes where its batch would have come.
  std::optional<Batch> next();

 private:
  void run();

  /// False when nobody will ask for it any more.
  bool offer(Batch batch);

  static Batch pinned(const Batch& batch);

  const BatchStream source_;
  const std::size_t most_;
  const bool pin_;
  const at::ThreadLocalState state_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::queue<Batch> ready_;
  std::exception_ptr error_;
  bool ended_ = false, abandoned_ = false;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace detail

/// A source whose batches a thread prepares while the model trains on earlier ones. They are the same batches in the
/// same order.
///
///     auto train = thaw::Prefetch{thaw::InMemory({.input = images, .target = labels, .transform = augment})};
///
/// The source must not draw from LibTorch's global generators, which the model draws from at the same time: no run
/// could be repeated. InMemory's transforms may take a generator of their own. Throws ConfigError for a source that
/// does, and for one that gives tensors of another device than the CPU; both are found out by asking it for a batch.
template <EpochSource S>
class Prefetch {
 public:
  explicit Prefetch(S source, PrefetchOptions options = {}) : source_(std::move(source)), options_(options) {
    if (options_.batches < 1)
      throw ConfigError("Prefetch", std::to_string(options_.batches) + " batches ahead", "give at least 1");
    const RandomState random;
    const std::optional<Batch> batch = source_.stream(0)();
    if (batch && !batch->input[0].is_cpu())
      throw ConfigError("Prefetch", "the data is in a device's memory already", "give the source as it is");
    if (random.moved())
      throw ConfigError("Prefetch", "the source draws from LibTorch's global random generator, as the model may do",
                        "let InMemory's transform take a generator: [](const thaw::Fields& x, at::Generator random)");
  }

  [[nodiscard]] std::int64_t batches() const { return source_.batches(); }
  /// One pass, from its i-th batch on; of each batch a shard.
  [[nodiscard]] BatchStream stream(std::int64_t epoch, std::int64_t i = 0, const Shard& shard = {}) const {
    return ahead(detail::stream_of(source_, epoch, i, shard));
  }

  [[nodiscard]] Fields targets() const
    requires requires(const S& source) { source.targets(); }
  {
    return source_.targets();
  }
  [[nodiscard]] auto last_batch() const
    requires requires(const S& source) { source.last_batch(); }
  {
    return source_.last_batch();
  }
  [[nodiscard]] std::int64_t samples() const
    requires IndexedSource<S>
  {
    return source_.samples();
  }
  [[nodiscard]] BatchStream in_order(std::int64_t pass = 0) const
    requires detail::GivesInOrder<S>
  {
    return ahead(detail::in_order(source_, pass));
  }
  [[nodiscard]] bool ordered() const
    requires requires(const S& source) { source.ordered(); }
  {
    return source_.ordered();
  }
  [[nodiscard]] BatchStream in_order(std::int64_t pass, const Shard& shard) const
    requires ShardedSource<S>
  {
    return ahead(source_.in_order(pass, shard));
  }
  /// Without a thread: what a network made of the inputs is there already.
  [[nodiscard]] auto with_input(Fields input) const
    requires IndexedSource<S>
  {
    return source_.with_input(std::move(input));
  }
  [[nodiscard]] auto with_input(Fields input, const Shard& shard) const
    requires ShardedSource<S>
  {
    return source_.with_input(std::move(input), shard);
  }

 private:
  [[nodiscard]] BatchStream ahead(BatchStream source) const {
    auto pass = std::make_shared<detail::BackgroundPass>(std::move(source), options_);
    return [pass] { return pass->next(); };
  }

  S source_;
  PrefetchOptions options_;
};

}  // namespace thaw

#if THAW_DEFINES(data)

namespace thaw::detail {

THAW_INLINE BackgroundPass::BackgroundPass(BatchStream source, const PrefetchOptions& options)
    : source_(std::move(source)),
      most_(static_cast<std::size_t>(options.batches)),
      pin_(options.pin_memory && has_accelerator()),
      thread_([this] { run(); }) {}

THAW_INLINE BackgroundPass::~BackgroundPass() {
  {
    const std::scoped_lock lock(mutex_);
    abandoned_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

THAW_INLINE std::optional<Batch> BackgroundPass::next() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !ready_.empty() || ended_; });
  if (ready_.empty()) {
    if (error_) std::rethrow_exception(std::exchange(error_, {}));
    return std::nullopt;
  }
  std::optional<Batch> batch = std::move(ready_.front());
  ready_.pop();
  lock.unlock();
  changed_.notify_all();
  return batch;
}

THAW_INLINE void BackgroundPass::run() {
  const at::ThreadLocalStateGuard as_reader(state_);
  std::exception_ptr error;
  try {
    while (std::optional<Batch> batch = source_())
      if (!offer(pin_ ? pinned(*batch) : *std::move(batch))) return;
  } catch (...) {
    error = std::current_exception();
  }
  {
    const std::scoped_lock lock(mutex_);
    error_ = error;
    ended_ = true;
  }
  changed_.notify_all();
}

THAW_INLINE bool BackgroundPass::offer(Batch batch) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return abandoned_ || ready_.size() < most_; });
  if (abandoned_) return false;
  ready_.push(std::move(batch));
  lock.unlock();
  changed_.notify_all();
  return true;
}

THAW_INLINE Batch BackgroundPass::pinned(const Batch& batch) {
  const auto pin = [](const at::Tensor& tensor) { return tensor.is_cpu() ? tensor.pin_memory() : tensor; };
  return {batch.input.map(pin), batch.target.map(pin), batch.stand_in};
}

}  // namespace thaw::detail

#endif
