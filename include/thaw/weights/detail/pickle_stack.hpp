// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstddef>
#include <string_view>
#include <thaw/weights/detail/pickle_bytes.hpp>
#include <thaw/weights/detail/pickle_value.hpp>
#include <thaw/weights/detail/source.hpp>
#include <vector>

namespace thaw::detail {

/// The stack on which a pickle's instructions work. What lies below the last mark is out of reach.
class PickleStack : protected PickleBytes {
 protected:
  PickleStack(const Source& source, std::string_view bytes) : PickleBytes(source, bytes) {}

  void push(Value value) {
    stack_.push_back(value);
    if (stack_.size() <= highest_) return;
    highest_ = stack_.size();
    spend(sizeof(Value));
  }
  Value& top() {
    if (stack_.size() <= floor()) throw damaged("it takes more than there is");
    return stack_.back();
  }
  Value pop() {
    const Value value = top();
    stack_.pop_back();
    return value;
  }
  std::vector<Value> pop(std::size_t count) {
    const auto first = stack_.begin() + static_cast<std::ptrdiff_t>(last(count));
    std::vector<Value> items(first, stack_.end());
    stack_.erase(first, stack_.end());
    return items;
  }
  std::vector<Value> pop_to_mark() { return pop(stack_.size() - take_mark()); }
  /// Where the last so many values begin.
  [[nodiscard]] std::size_t last(std::size_t count) {
    if (stack_.size() < floor() + count) throw damaged("it takes more than there is");
    return stack_.size() - count;
  }
  /// Where the values above the last mark begin. The mark is gone then.
  std::size_t take_mark() {
    if (marks_.empty()) throw damaged("no mark");
    const std::size_t begin = marks_.back();
    marks_.pop_back();
    return begin;
  }
  [[nodiscard]] std::size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  void mark() { marks_.push_back(stack_.size()); }

  /// Bounds memory by the file's size: what torch.save writes of itself takes less than this, whatever it holds. It
  /// bounds time too, for nothing here takes longer than what it makes.
  void spend(std::size_t bytes) {
    constexpr std::size_t always = std::size_t{128} << 20, for_a_byte = 32;
    spent_ += bytes;
    if (spent_ > always + for_a_byte * bytes_.size()) {
      throw damaged("its instructions describe more objects than a file of this size can hold");
    }
  }

  std::vector<Value> stack_;

 private:
  std::vector<std::size_t> marks_;
  std::size_t highest_ = 0, spent_ = 0;
};

}  // namespace thaw::detail
