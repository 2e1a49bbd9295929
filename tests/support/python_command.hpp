// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <catch2/catch_test_macros.hpp>
#include <cstdlib>
#include <string>

namespace thaw::test {

/// The Python that is asked what the real PyTorch does. It is no matter of the build: the environment names it, which
/// ctest sets to what CMake was told.
inline std::string python_command() {
  const char* const named = std::getenv("THAW_PYTHON");
  return named != nullptr ? named : "python3";
}

inline void skip_without(const std::string& module) {
  SKIP(python_command() + " has no " + module + ": run ./dev python, or name another in THAW_PYTHON");
}

}  // namespace thaw::test
