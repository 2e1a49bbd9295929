#pragma once

#include <c10/util/Exception.h>

#include <string>

namespace thaw::detail {

/// The first line of a LibTorch error, without its backtrace.
[[nodiscard]] inline std::string first_line(const c10::Error& error) {
  const std::string text = error.what_without_backtrace();
  return text.substr(0, text.find('\n'));
}

}  // namespace thaw::detail
