// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <array>
#include <charconv>
#include <stdexcept>
#include <string>
#include <utility>

#include <thaw/core/compiled.hpp>

namespace thaw {

/// The base of every exception that thaw throws: what is wrong, where, and how to fix it, in this order.
///
/// `what()` is "where: problem\n  fix: how", one sentence each, so that it reads well uncaught.
class Error : public std::runtime_error {
 public:
  Error(std::string where, std::string problem, std::string fix);

  /// The call, file, group or stage at fault.
  [[nodiscard]] const std::string& where() const noexcept { return where_; }
  /// What is wrong, with the values that were found and those that were expected.
  [[nodiscard]] const std::string& problem() const noexcept { return problem_; }
  /// What to change.
  [[nodiscard]] const std::string& fix() const noexcept { return fix_; }

 private:
  std::string where_, problem_, fix_;
};

namespace detail {

/// A number as people write it: 1e-07, where std::to_string says 0.000000.
[[nodiscard]] std::string number(double value);

}  // namespace detail

/// A plan that cannot be carried out: wrong groups, rates, policies, schedules, models or options.
class ConfigError : public Error {
  using Error::Error;
};

/// Data that cannot be trained on: an empty source, labels out of range, shapes that do not fit the model.
class DataError : public Error {
  using Error::Error;
};

/// The memory of the host or of a device does not suffice.
class MemoryError : public Error {
  using Error::Error;
};

/// Another of several processes failed, was ended, or does not answer.
class ProcessError : public Error {
  using Error::Error;
};

/// A file that cannot be read, written or used: missing, truncated, damaged, unsafe, or of another architecture.
class FileError : public Error {
  using Error::Error;
};

}  // namespace thaw

#if THAW_DEFINES(core)

namespace thaw {

THAW_INLINE Error::Error(std::string where, std::string problem, std::string fix)
    : std::runtime_error(where + ": " + problem + "\n  fix: " + fix),
      where_(std::move(where)),
      problem_(std::move(problem)),
      fix_(std::move(fix)) {}

}  // namespace thaw

namespace thaw::detail {

THAW_INLINE std::string number(double value) {
  std::array<char, 32> text{};
  const auto [end, error] = std::to_chars(text.begin(), text.end(), value, std::chars_format::general, 6);
  return {text.begin(), end};
}

}  // namespace thaw::detail

#endif
