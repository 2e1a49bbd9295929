// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <catch2/catch_test_macros.hpp>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "support/python_command.hpp"

namespace thaw::test {

inline bool python(const std::string& arguments) {
  return std::system((python_command() + " " + arguments).c_str()) == 0;
}

/// A script of tests/reference.
inline bool python(const std::string& script, const std::vector<std::string>& arguments) {
  std::string words = std::string(THAW_FIXTURES) + "/../reference/" + script;
  for (const std::string& each : arguments) words += " '" + each + "'";
  return python(words);
}

inline void need_python(const std::vector<std::string>& modules) {
  for (const std::string& module : modules)
    if (!python("-c 'import importlib.util, sys; sys.exit(importlib.util.find_spec(\"" + module + "\") is None)'"))
      skip_without(module);
}

}  // namespace thaw::test
