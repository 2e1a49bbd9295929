// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

namespace thaw {

/// For a source of data that is slow to make. The results of make(first), make(first + 1), ..., make(last - 1), in this
/// order, made by several threads ahead of whoever takes them: at most `ahead` are made and not taken. What `make`
/// throws comes where its result would have come, and ends the rest. Without threads each is made when it is taken.
template <class T>
class OrderedWorkers {
 public:
  OrderedWorkers(std::function<T(std::int64_t)> make, std::int64_t first, std::int64_t last, int threads,
                 std::int64_t ahead)
      : make_(std::move(make)), taken_(first), begun_(first), last_(last), ahead_(ahead) {
    for (int i = 0; i < threads && i < last - first; ++i) threads_.emplace_back([this] { run(); });
  }
  ~OrderedWorkers() {
    {
      const std::scoped_lock lock(mutex_);
      last_ = taken_;
    }
    changed_.notify_all();
    for (std::thread& each : threads_) each.join();
  }
  OrderedWorkers(const OrderedWorkers&) = delete;
  OrderedWorkers& operator=(const OrderedWorkers&) = delete;

  /// Waits for the next one; nothing at the end.
  std::optional<T> next() {
    std::unique_lock lock(mutex_);
    if (taken_ >= last_) return std::nullopt;
    if (threads_.empty()) try {
        return make_(taken_++);
      } catch (...) {
        last_ = taken_;
        throw;
      }
    changed_.wait(lock, [this] { return made_.contains(taken_); });
    Made made = std::move(made_.extract(taken_++).mapped());
    if (made.error) last_ = taken_;
    lock.unlock();
    changed_.notify_all();
    if (made.error) std::rethrow_exception(made.error);
    return std::move(made.result);
  }

 private:
  struct Made {
    std::optional<T> result = {};
    std::exception_ptr error = {};
  };

  void run() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return begun_ >= last_ || begun_ < taken_ + ahead_; });
      if (begun_ >= last_) return;
      const std::int64_t i = begun_++;
      lock.unlock();
      Made made;
      try {
        made.result = make_(i);
      } catch (...) {
        made.error = std::current_exception();
      }
      lock.lock();
      made_.emplace(i, std::move(made));
      changed_.notify_all();
    }
  }

  const std::function<T(std::int64_t)> make_;
  std::int64_t taken_, begun_, last_;  // taken_ <= begun_ <= last_, unless it is given up
  const std::int64_t ahead_;
  std::map<std::int64_t, Made> made_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::thread> threads_;
};

}  // namespace thaw
